//! One run: a world, people, faults and judges.
//!
//! Owns the phases: trouble, then peace until everything is as wished, then silence. Start at
//! [`run_seed`].

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

use crate::chance::Chance;
use crate::checkers::{Judge, Wish, is_noise};
use crate::view::View;
use crate::wire::READ_TIMEOUT;
use crate::workload::Workload;
use crate::world::World;

/// Things that people do in one run.
const ACTIONS: (usize, usize) = (8, 16);
/// Time between two looks at the stores. Every change is seen, however many there are.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// From the last fault until everything is as wished. The longest backoff is 15 minutes, and a
/// member looks for what nobody wants any more every 15 to 30 minutes.
const PEACE_MAX: Duration = Duration::from_secs(45 * 60);
/// A world in which nothing was written for so long has nothing more to do, or waits for long. A
/// watch that says nothing is given up after 295 seconds, and who waits for it does nothing until
/// then.
const CALM: Duration = Duration::from_secs(295 + 90);
/// How long a settled world is watched.
const SILENCE: Duration = Duration::from_secs(11 * 60);

/// What a run leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Hash of the trace.
    pub(crate) digest: String,
    /// Requests and other lines of the trace.
    pub(crate) line_count: u64,
    /// Virtual time.
    pub(crate) secs: u64,
    /// Time from the last fault to the wish fulfilled.
    pub(crate) peace_secs: u64,
}

/// Runs one seed under virtual time on this thread.
///
/// # Errors
/// What broke, with the last lines of the trace.
pub(crate) fn run_seed(seed: u64) -> Result<Outcome> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let started = Instant::now();
        let mut run = Run::start(seed).await?;
        let done = run.all(started).await;
        done.map_err(|error| {
            let trace = run.world.network.trace.lock().expect("nobody panicked while noting");
            let tail = trace.tail(lines_wanted());
            anyhow::anyhow!(
                "seed {seed}: {error:#}\nlast lines of the trace:\n{tail}\n\
                repeat it: FLEET_SEED={seed} cargo test -p e2e --test sim"
            )
        })
    })
}

/// `FLEET_LINES`: how much of the trace a failure shows.
fn lines_wanted() -> usize {
    std::env::var("FLEET_LINES").ok().and_then(|text| text.parse().ok()).unwrap_or(25)
}

struct Run {
    world: World,
    workload: Workload,
    wish: Wish,
    view: View,
    judge: Judge,
    chance: Chance,
    last_change: Instant,
    /// How far the wall clocks are ahead of the truth.
    ahead_secs: i64,
    /// What was written last that is not noise.
    last_text: String,
}

impl Run {
    async fn start(seed: u64) -> Result<Self> {
        let world = World::start(seed).await?;
        Ok(Self {
            world,
            workload: Workload::new(Chance::of(seed, "workload")),
            wish: Wish::default(),
            view: View::default(),
            judge: Judge::new(),
            chance: Chance::of(seed, "run"),
            last_change: Instant::now(),
            ahead_secs: 0,
            last_text: String::new(),
        })
    }

    async fn all(&mut self, started: Instant) -> Result<Outcome> {
        self.trouble().await?;
        let peace = self.peace().await?;
        self.silence().await?;
        let trace = self.world.network.trace.lock().expect("nobody panicked while noting");
        Ok(Outcome {
            digest: trace.digest(),
            line_count: trace.count(),
            secs: started.elapsed().as_secs(),
            peace_secs: peace.as_secs(),
        })
    }

    /// People act while things go wrong.
    async fn trouble(&mut self) -> Result<()> {
        self.workload.begin(&mut self.world).await?;
        self.pass(Duration::from_secs(5)).await?;
        self.set_faults(true);
        let count = ACTIONS.0 + self.chance.below(ACTIONS.1 - ACTIONS.0);
        for _ in 0..count {
            self.workload.act(&mut self.world).await?;
            self.disturb().await?;
            let pause = match self.chance.below(4) {
                0 => self.chance.millis(0, 500),
                1 => self.chance.millis(20_000, 120_000),
                _ => self.chance.millis(500, 20_000),
            };
            self.pass(pause).await?;
        }
        self.set_faults(false);
        for name in self.workload.wish().members {
            self.world.network.set_cut_off(&name, false);
        }
        // Clocks that stay behind keep everything young: what has to be old enough goes late.
        self.world.jump(-self.ahead_secs);
        self.workload.end(&mut self.world).await
    }

    fn set_faults(&self, is_on: bool) {
        self.world.network.note(&format!("-- faults: {is_on}"));
        self.world.network.faults.lock().expect("no panic while deciding").set_on(is_on);
    }

    /// Things that go wrong beside single requests.
    async fn disturb(&mut self) -> Result<()> {
        match self.chance.below(10) {
            0 => {
                let names = self.world.process_names();
                let name = self.chance.pick(&names).clone();
                self.world.kill(&name);
            }
            1 | 2 => {
                if let Some(name) = self.workload.some_member() {
                    let is_cut_off = self.chance.percent(60);
                    self.world.network.set_cut_off(&name, is_cut_off);
                }
            }
            3 => {
                if let Some(url) = self.workload.some_url() {
                    self.world.repositories.set_down(&url, self.chance.percent(50));
                }
            }
            4 => {
                let secs = i64::try_from(self.chance.below(600)).unwrap_or(0);
                self.ahead_secs += secs - 300;
                self.world.jump(secs - 300);
            }
            _ => {}
        }
        Ok(())
    }

    /// Lets virtual time pass and judges every change.
    async fn pass(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.world.pass(LOOK_EVERY.min(until - Instant::now())).await?;
            self.look()?;
        }
        Ok(())
    }

    /// Judges what changed since the last look.
    fn look(&mut self) -> Result<()> {
        self.wish = self.workload.wish();
        for (name, hub) in &self.world.clusters {
            for change in self.view.follow(name, hub)? {
                if let Err(broken) = self.judge.on_change(&self.view, &change, &self.wish) {
                    bail!("{broken}");
                }
                if !is_noise(&change) {
                    self.last_change = Instant::now();
                    self.last_text = difference(&change);
                }
                self.view.take(&change);
            }
        }
        Ok(())
    }

    /// Nothing goes wrong any more: in the end, everything is as wished.
    async fn peace(&mut self) -> Result<Duration> {
        let started = Instant::now();
        loop {
            self.pass(Duration::from_secs(10)).await?;
            if self.last_change.elapsed() < CALM {
                if started.elapsed() > PEACE_MAX {
                    bail!("quiet-when-unchanged: never; last: {}", self.last_text);
                }
                continue;
            }
            let broken = self.judge.when_settled(&self.view, &self.wish);
            if broken.is_empty() && started.elapsed() > READ_TIMEOUT {
                return Ok(self.last_change.duration_since(started.min(self.last_change)));
            }
            if started.elapsed() > PEACE_MAX {
                bail!("{}", broken.join("\n"));
            }
        }
    }

    /// Nobody does anything: nothing is written but heartbeats.
    async fn silence(&mut self) -> Result<()> {
        let settled = self.last_change;
        self.pass(SILENCE).await?;
        if self.last_change != settled {
            bail!("quiet-when-unchanged: {}", self.last_text);
        }
        let broken = self.judge.when_settled(&self.view, &self.wish);
        if broken.is_empty() { Ok(()) } else { bail!("after silence: {}", broken.join("\n")) }
    }
}

/// What a change changed, for people.
fn difference(change: &crate::view::Change) -> String {
    let mut lines = vec![format!("{} {} at {}", change.cluster, change.key, change.revision)];
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => differ("", old, new, &mut lines),
        (None, Some(_)) => lines.push("created".to_owned()),
        _ => lines.push("deleted".to_owned()),
    }
    lines.truncate(12);
    lines.join("\n  ")
}

fn differ(path: &str, old: &serde_json::Value, new: &serde_json::Value, lines: &mut Vec<String>) {
    if old == new || path.ends_with("managedFields") || path.ends_with("resourceVersion") {
        return;
    }
    match (old.as_object(), new.as_object()) {
        (Some(a), Some(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let null = serde_json::Value::Null;
                let (old, new) = (a.get(name).unwrap_or(&null), b.get(name).unwrap_or(&null));
                differ(&format!("{path}.{name}"), old, new, lines);
            }
        }
        _ => lines.push(format!("{path}: {old} -> {new}")),
    }
}
