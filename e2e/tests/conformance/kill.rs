//! A process killed in mid-rollout changes nothing in the end state.

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::world::{World, kinds};
use rustix::process::Signal;

use crate::support::wait_on;
use crate::wave::Wave;

/// Whom to kill.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Victim {
    Gitjob,
    Controller,
    MemberAgent,
    LocalAgent,
}

impl Victim {
    pub(crate) const ALL: [Self; 4] =
        [Self::Gitjob, Self::Controller, Self::MemberAgent, Self::LocalAgent];

    fn cluster(self, world: &World) -> &Cluster {
        match self {
            Self::MemberAgent => &world.members[0],
            _ => &world.hub,
        }
    }

    pub(crate) fn kill(self, world: &World) -> Result<()> {
        let app = match self {
            Self::Gitjob => "gitjob",
            Self::Controller => "fleet-controller",
            Self::MemberAgent | Self::LocalAgent => "fleet-agent",
        };
        let killed = self.cluster(world).hostlet.signal(app, Signal::KILL);
        ensure!(killed > 0, "no process {app}");
        Ok(())
    }
}

/// Each process in turn is killed while a commit that touches every path is on its way.
pub(crate) fn killed_processes_change_nothing(world: &mut World) -> Result<()> {
    let mut wave = Wave::start(world, "kill")?;
    for (turn, victim) in Victim::ALL.into_iter().enumerate() {
        let round = wave.commit()?;
        // Gitjob before anything of the commit can have arrived, the others when some of it has.
        if !matches!(victim, Victim::Gitjob) {
            let seen_on = match victim {
                Victim::LocalAgent => &world.hub,
                _ => &world.members[1],
            };
            let key = (kinds::CONFIG_MAP, "default", &*wave.map(turn * 2));
            wait_on(world, seen_on, key, |map| round.arrived(map))?;
        }
        victim.kill(world)?;
        wave.settle(world, &round)?;
    }
    Ok(())
}
