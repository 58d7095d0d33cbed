//! A pod of a fleet: its journal, at most one process, and what its clients want.

use std::collections::BTreeSet;
use std::time::Duration;

use weir::policy::budget::exchange::{Answer, Hello, Report, Sent, Verified};
use weir::policy::budget::{BootId, Connections};
use weir::sidecar::charge::Attempt;
use weir::sidecar::holder::{Holder, Injected};
use weir::sidecar::journal::{Account, History};

use super::server::Server;
use crate::pod::{begin, keys, pool, uid};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Lives,
    /// It ended for good, by the kubelet's word.
    Ended,
    /// Its object is gone. Proof that it ended comes in the round that is told, the end itself by then.
    Vanished(u64),
}

pub struct Pod {
    pub index: usize,
    pub life: Life,
    pub budgeted: bool,
    pub limit: u32,
    /// Clients that want a connection.
    pub wants: u32,
    /// Connections that their clients never give back.
    pub pins: u32,
    pub cut_off: bool,
    pub boots: u16,
    pub journal: History,
    pub process: Option<Process>,
    /// When it last had a grant, or wanted nothing.
    pub served: u64,
}

pub struct Process {
    pub holder: Holder,
    pub account: Account<History>,
    pub open: BTreeSet<Attempt>,
}

impl Pod {
    pub fn new(index: usize, budgeted: bool, limit: u32, wants: u32) -> Self {
        let journal = History::default();
        let life = Life::Lives;
        Self {
            index,
            life,
            budgeted,
            limit,
            wants,
            pins: 0,
            cut_off: false,
            boots: 0,
            journal,
            process: None,
            served: 0,
        }
    }

    pub fn lives(&self) -> bool {
        self.life == Life::Lives
    }

    pub fn start(&mut self, now: Duration) {
        if self.process.is_some() || !self.lives() {
            return;
        }
        self.boots += 1;
        let mut id = [0; 16];
        id[..2].copy_from_slice(&u16::try_from(self.index).unwrap_or(0).to_be_bytes());
        id[2..4].copy_from_slice(&self.boots.to_be_bytes());
        let boot = BootId(id);
        let limit = Connections::at_most(self.limit);
        let injected = Injected { pool: pool(), pod: uid(self.index), budgeted: self.budgeted, limit };
        let (holder, account) = begin(&injected, boot, &self.journal, now);
        self.process = Some(Process { holder, account, open: BTreeSet::new() });
    }

    /// Its sockets close without anybody to see EOF.
    pub fn kill(&mut self, server: &mut Server) {
        let Some(process) = self.process.take() else { return };
        process.open.iter().for_each(|attempt| server.orphan(*attempt));
        self.journal = process.account.into_journal();
    }

    pub fn hello(&mut self, now: Duration, nonce: u64) -> Option<Hello> {
        let mut random = [0; 16];
        random[..8].copy_from_slice(&nonce.to_be_bytes());
        Some(self.process.as_mut()?.holder.exchange().hello(now, random, keys()))
    }

    pub fn take(&mut self, now: Duration, sent: &Sent) -> Option<Answer> {
        let figures = self.figures();
        let process = self.process.as_mut()?;
        let message = Verified::open(&sent.bytes, keys()).expect("our own key signed it");
        let taken = process.holder.take(now, message, &mut process.account).ok()?;
        Some(process.holder.answer(&taken, &process.account, &figures))
    }

    fn figures(&self) -> Report {
        let open = self.open();
        let active = self.wants.max(self.pins).min(open);
        let waiting = self.wants.saturating_sub(active);
        let wait = if waiting > 0 { Duration::from_secs(3) } else { Duration::ZERO };
        let (open, active) = (Connections::at_most(open), Connections::at_most(active));
        Report { open, active, waiting, wait, ..Report::default() }
    }

    pub fn open(&self) -> u32 {
        self.process.as_ref().map_or(0, |process| u32::try_from(process.open.len()).unwrap_or(u32::MAX))
    }

    pub fn charge(&self) -> u32 {
        self.process.as_ref().map_or(0, |process| process.account.charges().charged())
    }

    pub fn lost(&self) -> u32 {
        self.process.as_ref().map_or(0, |process| process.account.charges().unconfirmed())
    }

    pub fn max(&self) -> u32 {
        self.process.as_ref().map_or(0, |process| process.holder.max().get())
    }

    /// One connection more, if its clients want one or it must look, and it may. Whether it did. `half`: the login is lost.
    pub fn connect(&mut self, server: &mut Server, now: Duration, half: bool) -> bool {
        let wanted = self.wants.max(self.pins) > self.open();
        let Some(process) = &mut self.process else { return false };
        let looks = process.open.is_empty();
        if !wanted && !looks {
            return false;
        }
        process.account.serve(&[server.address], now);
        let Some(attempt) = process.account.begin(server.address).expect("memory takes it") else { return false };
        process.account.starting(attempt);
        let pid = server.fork(attempt);
        if half {
            server.orphan(attempt);
            process.account.lost(attempt, now);
            return true;
        }
        process.account.connected(attempt, pid).expect("memory takes it");
        process.account.identified(attempt, server.identity(pid), now);
        process.open.insert(attempt);
        true
    }

    /// Ends what it has beyond its grant, as far as clients let it: PostgreSQL answers Terminate by its own end.
    pub fn shrink(&mut self, server: &mut Server) {
        while self.charge() > self.max() && self.open() > self.pins {
            let Some(process) = &mut self.process else { return };
            let Some(attempt) = process.open.pop_last() else { return };
            server.rows.retain(|_, row| row.attempt != attempt);
            process.account.eof(attempt);
        }
    }

    pub fn lose(&mut self, server: &mut Server, now: Duration) {
        if let Some(process) = &mut self.process
            && let Some(attempt) = process.open.pop_first()
        {
            server.orphan(attempt);
            process.account.lost(attempt, now);
        }
    }

    pub fn server_crashed(&mut self, seen: bool, now: Duration) {
        let Some(process) = &mut self.process else { return };
        for attempt in std::mem::take(&mut process.open) {
            if seen {
                process.account.eof(attempt);
            } else {
                process.account.lost(attempt, now);
            }
        }
    }

    pub fn look(&mut self, server: &Server, now: Duration) {
        if let Some(process) = &mut self.process
            && let Some(via) = process.open.last()
            && let Some(look) = process.account.look(*via, now)
        {
            process.account.looked(&look, &server.looked(), now);
        }
    }
}
