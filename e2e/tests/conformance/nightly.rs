//! The long stories: every process killed in every phase of a rollout, and outages of minutes.
//! `cargo xtask nightly` runs them; `FLEET_NIGHTLY_OUTAGE` sets the seconds of an outage.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::world::{World, kinds};
use rustix::process::Signal;

use crate::kill::Victim;
use crate::support::{SOON, text, wait_on};
use crate::wave::{Round, Wave};

/// Set by `cargo xtask nightly`.
pub(crate) const SWITCH: &str = "FLEET_NIGHTLY";
const OUTAGE: &str = "FLEET_NIGHTLY_OUTAGE";

fn outage() -> Duration {
    let given = std::env::var(OUTAGE).ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(given.unwrap_or(120))
}

/// How far a commit is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// A Bundle has it.
    Published,
    /// A BundleDeployment has it.
    Planned,
    /// A cluster has it.
    Applied,
}

impl Phase {
    const ALL: [Self; 3] = [Self::Published, Self::Planned, Self::Applied];

    fn wait(self, world: &World, wave: &Wave, round: &Round) -> Result<()> {
        let kind = match self {
            Self::Published => kinds::BUNDLE,
            Self::Planned => kinds::DEPLOYMENT,
            Self::Applied => {
                let key = (kinds::CONFIG_MAP, "default", &*wave.map(0));
                return wait_on(world, &world.members[1], key, |map| round.arrived(map)).map(drop);
            }
        };
        let label = "/metadata/labels/fleet.cattle.io~1commit";
        world.wait_until(&format!("{self:?}"), SOON, || {
            let all = world.hub.list(kind, "")?;
            Ok(all.iter().any(|one| text(one, label) == round.commit).then_some(()))
        })
    }
}

/// Each process is killed in each phase of a rollout; the end is the same every time.
pub(crate) fn killed_in_every_phase_changes_nothing(world: &mut World) -> Result<()> {
    let mut wave = Wave::start(world, "phases")?;
    for phase in Phase::ALL {
        for victim in Victim::ALL {
            let round = wave.commit()?;
            phase.wait(world, &wave, &round)?;
            victim.kill(world)?;
            let settled = wave.settle(world, &round);
            ensure!(settled.is_ok(), "{victim:?} killed when {phase:?}: {settled:?}");
        }
    }
    Ok(())
}

/// The hub's API server does not answer for minutes while a commit comes; then all goes on.
pub(crate) fn outage_of_the_hub_is_survived(world: &mut World) -> Result<()> {
    let mut wave = Wave::start(world, "outage")?;
    let round = {
        let _down = world.hub.pause_api_server()?;
        let round = wave.commit()?;
        std::thread::sleep(outage());
        round
    };
    wave.recover(world, &round)
}

/// A member is away for minutes: the others get the commit at once, it gets it when it is back.
pub(crate) fn outage_of_a_member_is_survived(world: &mut World) -> Result<()> {
    let mut wave = Wave::start(world, "away")?;
    let member = &world.members[0];
    let round = {
        let _down = member.pause_api_server()?;
        ensure!(member.hostlet.signal("fleet-agent", Signal::STOP) > 0, "no agent");
        let round = wave.commit()?;
        let started = Instant::now();
        let key = (kinds::CONFIG_MAP, "default", &*wave.map(0));
        wait_on(world, &world.members[1], key, |map| round.arrived(map))?;
        std::thread::sleep(outage().saturating_sub(started.elapsed()));
        round
    };
    ensure!(member.hostlet.signal("fleet-agent", Signal::CONT) > 0, "no agent");
    wave.recover(world, &round)
}
