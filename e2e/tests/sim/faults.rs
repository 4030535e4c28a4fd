//! What goes wrong between a client and its API server.
//!
//! Owns the decision, one for each request and each watch, all from one seed. Does nothing itself:
//! `wire` does. Start at [`Faults::of_request`].

use std::time::Duration;

use http::Method;

use crate::chance::Chance;

/// How often what happens, in a thousand requests (or watches).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    /// The server answers 409 and did nothing.
    pub(crate) conflict: usize,
    /// The server answers 429 or 500 and did nothing.
    pub(crate) refusal: usize,
    /// The server did it, and the answer is lost.
    pub(crate) lost_answer: usize,
    /// The connection fails before the server hears of it.
    pub(crate) lost_request: usize,
    /// The process dies before or after the server did it.
    pub(crate) kill: usize,
    /// The watch ends.
    pub(crate) cut_watch: usize,
    /// The watch says nothing any more, and does not end.
    pub(crate) hung_watch: usize,
    /// The watch ends with 410.
    pub(crate) expired_watch: usize,
    /// The watch tells everything late.
    pub(crate) late_watch: usize,
    /// A list that allows it is answered from an older state.
    pub(crate) stale_list: usize,
}

impl Rates {
    /// Every fault has its own chance of being rare, common or absent in a run, so that each run has
    /// a character of its own.
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let mut rate = |common: usize| match chance.below(4) {
            0 => 0,
            1 | 2 => common,
            _ => common * 4,
        };
        Self {
            conflict: rate(15),
            refusal: rate(15),
            lost_answer: rate(10),
            lost_request: rate(10),
            kill: rate(3),
            cut_watch: rate(60),
            hung_watch: rate(20),
            expired_watch: rate(30),
            late_watch: rate(100),
            stale_list: rate(50),
        }
    }
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// This answer instead of the deed.
    Refuse(u16),
    /// No answer; the deed is not done.
    LoseRequest,
    /// No answer; the deed is done.
    LoseAnswer,
    /// The process dies; the deed is not done.
    KillBefore,
    /// The process dies; the deed is done.
    KillAfter,
    /// An older answer to the same question, if there is one.
    Stale,
}

/// What happens to one watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchFault {
    /// Nothing.
    None,
    /// It ends after this many pieces.
    Cut(usize),
    /// It falls silent after this many pieces.
    Hang(usize),
    /// It says 410 after this many pieces.
    Expire(usize),
    /// Each piece comes this much later.
    Late(Duration),
}

/// The decisions of one run.
#[derive(Debug)]
pub(crate) struct Faults {
    chance: Chance,
    rates: Rates,
    is_on: bool,
    is_instant: bool,
}

impl Faults {
    pub(crate) fn new(mut chance: Chance) -> Self {
        let rates = Rates::draw(&mut chance);
        Self { chance, rates, is_on: false, is_instant: false }
    }

    /// Nothing goes wrong and nothing takes time.
    pub(crate) fn instant() -> Self {
        let rates = Rates::default();
        Self { chance: Chance::of(0, ""), rates, is_on: false, is_instant: true }
    }

    /// Whether nobody looks at the trace.
    pub(crate) fn is_instant(&self) -> bool {
        self.is_instant
    }

    /// Lets things go wrong, or go well from now on.
    pub(crate) fn set_on(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    /// Time that a message is under way. It is what orders tasks that are ready at the same time.
    pub(crate) fn latency(&mut self) -> Duration {
        if self.is_instant {
            return Duration::ZERO;
        }
        match self.chance.below(20) {
            0 => self.chance.millis(5, 200),
            _ => self.chance.millis(0, 5),
        }
    }

    /// What happens to a request of a process that is neither a watch nor cut off.
    pub(crate) fn of_request(&mut self, method: &Method, can_be_stale: bool) -> Fault {
        if !self.is_on {
            return Fault::None;
        }
        let rates = self.rates;
        let is_write = !matches!(*method, Method::GET);
        let is_change = is_write && *method != Method::POST;
        // Each line draws, whether it applies or not: a run stays comparable when a rate changes.
        let draws = [
            (self.chance.permille(rates.conflict) && is_change, Fault::Refuse(409)),
            (self.chance.permille(rates.refusal), Fault::Refuse(429)),
            (self.chance.permille(rates.refusal / 2), Fault::Refuse(500)),
            (self.chance.permille(rates.lost_answer) && is_write, Fault::LoseAnswer),
            (self.chance.permille(rates.lost_request), Fault::LoseRequest),
            (self.chance.permille(rates.kill), Fault::KillBefore),
            (self.chance.permille(rates.kill) && is_write, Fault::KillAfter),
            (self.chance.permille(rates.stale_list) && can_be_stale, Fault::Stale),
        ];
        draws.into_iter().find(|(holds, _)| *holds).map_or(Fault::None, |(_, fault)| fault)
    }

    /// What happens to a watch.
    pub(crate) fn of_watch(&mut self) -> WatchFault {
        if !self.is_on {
            return WatchFault::None;
        }
        let rates = self.rates;
        let after = self.chance.below(20);
        let delay = self.chance.millis(200, 20_000);
        let draws = [
            (self.chance.permille(rates.cut_watch), WatchFault::Cut(after)),
            (self.chance.permille(rates.hung_watch), WatchFault::Hang(after)),
            (self.chance.permille(rates.expired_watch), WatchFault::Expire(after)),
            (self.chance.permille(rates.late_watch), WatchFault::Late(delay)),
        ];
        draws.into_iter().find(|(holds, _)| *holds).map_or(WatchFault::None, |(_, fault)| fault)
    }

    /// What a connection attempt takes that nobody answers.
    pub(crate) fn silence(&mut self) -> Duration {
        self.chance.millis(1_000, 15_000)
    }

    /// True in half of the cases.
    pub(crate) fn coin(&mut self) -> bool {
        self.chance.percent(50)
    }
}
