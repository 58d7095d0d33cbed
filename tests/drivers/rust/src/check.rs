//! The clients: each is a thread with an event loop and a connection of its own.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::features::Feature;
use crate::query::{Client, Question, Row};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// One library with one setting.
#[derive(Clone)]
pub struct Run {
    pub url: String,
    pub setting: String,
    pub connections: u64,
    pub queries: u64,
    pub seed: u64,
}

/// An error of a library.
#[derive(Debug)]
pub struct Failure {
    /// Where the server sent it.
    pub state: Option<String>,
    pub text: String,
}

pub type Outcome<T> = Result<T, Failure>;

/// One connection of a library.
pub trait Session: Sized + 'static {
    const VERSION: &str;

    /// With the client's application_name and TimeZone.
    async fn connect(run: &Run, client: Client) -> Outcome<Self>;
    async fn query(&mut self, question: &Question, random: &mut Rng) -> Outcome<Vec<Row>>;
    /// Runs one text without parameters, whose rows nobody needs.
    async fn execute(&mut self, text: &str) -> Outcome<()>;
    async fn close(self);
    fn features() -> Vec<Feature>;
}

#[derive(Default)]
struct Tally {
    queries: u64,
    wrong_rows: u64,
    wrong_settings: u64,
    transactions: u64,
    moved: u64,
    errors: BTreeMap<String, u64>,
    examples: Vec<String>,
}

struct Worker<'a, S> {
    run: &'a Run,
    client: Client,
    random: Rng,
    session: Option<S>,
    pid: Option<i32>,
    /// A transaction of several queries is.
    open: bool,
    tally: Tally,
}

impl Failure {
    pub fn new(text: impl Display) -> Self {
        Self { state: None, text: text.to_string() }
    }

    /// With all that caused it.
    pub fn of(state: Option<String>, error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        Self { state, text }
    }
}

/// Waits for a future in a loop of this thread.
pub fn block<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().expect("an event loop").block_on(future)
}

pub async fn pause(random: &mut Rng) {
    if random.u8(..4) == 0 {
        sleep(Duration::from_micros(random.u64(..1000))).await;
    }
}

/// A session that has its search path as well.
pub async fn connect<S: Session>(run: &Run, client: Client) -> Outcome<S> {
    let mut session = S::connect(run, client).await?;
    match session.execute(&format!("set search_path to {}", client.schema())).await {
        Ok(()) => Ok(session),
        Err(failure) => {
            session.close().await;
            Err(failure)
        }
    }
}

impl Run {
    pub fn check<S: Session>(self) -> Value {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.connections)
                .map(|index| {
                    let run = &self;
                    scope.spawn(move || Worker::<S>::new(run, Client { index }).work())
                })
                .collect();
            let features: BTreeMap<_, _> =
                S::features().into_iter().map(|feature| (feature.name, self.outcome(feature))).collect();
            let mut total = Tally::default();
            for worker in workers {
                total.add(worker.join().expect("a client does not panic"));
            }
            json!({
                "version": S::VERSION,
                "queries": total.queries,
                "wrong_rows": total.wrong_rows,
                "wrong_settings": total.wrong_settings,
                "transactions": total.transactions,
                "moved": total.moved,
                "errors": total.errors,
                "features": features,
                "examples": total.examples.into_iter().take(8).collect::<Vec<_>>(),
            })
        })
    }

    /// A library may wait for ever: then only the thread stays behind.
    fn outcome(&self, feature: Feature) -> String {
        let (tell, told) = mpsc::channel();
        let run = self.clone();
        thread::spawn(move || {
            let said = match (feature.attempt)(&run) {
                Ok(()) => "ok".to_owned(),
                Err(failure) => failure.text,
            };
            let _ = tell.send(said);
        });
        told.recv_timeout(PATIENCE).unwrap_or_else(|_| format!("did not end within {PATIENCE:?}"))
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.queries += other.queries;
        self.wrong_rows += other.wrong_rows;
        self.wrong_settings += other.wrong_settings;
        self.transactions += other.transactions;
        self.moved += other.moved;
        for (state, count) in other.errors {
            *self.errors.entry(state).or_default() += count;
        }
        self.examples.extend(other.examples);
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < 2 {
            self.examples.push(text);
        }
    }
}

impl<'a, S: Session> Worker<'a, S> {
    fn new(run: &'a Run, client: Client) -> Self {
        let random = Rng::with_seed(run.seed << 32 | client.index);
        Self { run, client, random, session: None, pid: None, open: false, tally: Tally::default() }
    }

    fn work(mut self) -> Tally {
        block(async {
            let mut failures = 0;
            while self.tally.queries < self.run.queries / self.run.connections && failures < 100 {
                let done = timeout(PATIENCE, self.once()).await;
                if let Err(failure) = done.unwrap_or_else(|_| Err(Failure::new("no answer"))) {
                    failures += u32::from(self.session.is_none());
                    self.failed(failure).await;
                } else {
                    failures = 0;
                }
            }
            if let Some(session) = self.session.take() {
                session.close().await;
            }
        });
        self.tally
    }

    async fn once(&mut self) -> Outcome<()> {
        if self.session.is_none() {
            self.session = Some(connect(self.run, self.client).await?);
        }
        self.transaction().await
    }

    async fn failed(&mut self, failure: Failure) {
        let missing = if self.session.is_some() { "client" } else { "connect" };
        let server = failure.state.is_some();
        let state = failure.state.unwrap_or_else(|| missing.to_owned());
        self.tally.example(format!("{state}: {}", failure.text));
        *self.tally.errors.entry(state).or_default() += 1;
        // No text without need: each drops the server's unnamed statement, and so hides who else's it was.
        let open = std::mem::take(&mut self.open);
        if server && !open {
            return;
        }
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }

    /// One query, or now and then two in a transaction, which one server connection must answer.
    async fn transaction(&mut self) -> Outcome<()> {
        if self.random.u8(..16) != 0 {
            let pid = self.query().await?;
            self.ended(pid);
            return Ok(());
        }
        self.open = true;
        self.execute("begin").await?;
        let first = self.query().await?;
        let second = self.query().await?;
        if first.is_some() && second.is_some() && first != second {
            self.tally.wrong_rows += 1;
            self.tally.example("one transaction on two server connections".to_owned());
        }
        self.ended(second);
        self.execute("commit").await?;
        self.open = false;
        Ok(())
    }

    async fn execute(&mut self, text: &str) -> Outcome<()> {
        match &mut self.session {
            Some(session) => session.execute(text).await,
            None => Err(Failure::new("not connected")),
        }
    }

    async fn query(&mut self) -> Outcome<Option<i32>> {
        pause(&mut self.random).await;
        self.tally.queries += 1;
        let id = (self.client.index << 32 | self.tally.queries).cast_signed();
        let question = self.client.ask(&mut self.random, id);
        let Some(session) = &mut self.session else { return Err(Failure::new("not connected")) };
        let rows = session.query(&question, &mut self.random).await?;
        let judgement = self.client.judge(&question, &rows);
        if let Some(text) = judgement.row {
            self.tally.wrong_rows += 1;
            self.tally.example(text);
        } else if let Some(text) = judgement.setting {
            self.tally.wrong_settings += 1;
            self.tally.example(text);
        }
        Ok(judgement.pid)
    }

    fn ended(&mut self, pid: Option<i32>) {
        if let (Some(last), Some(now)) = (self.pid, pid) {
            self.tally.transactions += 1;
            self.tally.moved += u64::from(last != now);
        }
        self.pid = pid.or(self.pid);
    }
}
