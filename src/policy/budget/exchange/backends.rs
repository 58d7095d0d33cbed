//! Server processes of a PostgreSQL, as a pod lists those that it is charged with.

/// Most backends in an answer: 5 times what a production pool is warned about.
pub const BACKENDS_MAX: usize = 1024;
/// A pid and a start.
pub(super) const BACKEND: usize = 12;

/// A server process. A pid is used again; with its start it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// Positive.
    pub pid: i32,
    /// `backend_start`, as timestamptz_send() writes it.
    pub started: u64,
}

/// Backends that a pod is charged with at one upstream, of which a list holds at most [`BACKENDS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Backends(Vec<Backend>);

impl Backends {
    /// Each counts once. What has no pid, and what does not fit, is left out, and so counts as unlisted.
    pub fn new(backends: impl IntoIterator<Item = Backend>) -> Self {
        let (mut list, _) = listed(backends);
        list.truncate(BACKENDS_MAX);
        Self(list)
    }

    /// Ascending.
    pub fn as_slice(&self) -> &[Backend] {
        &self.0
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        read(value, BACKENDS_MAX).map(Self)
    }
}

/// Ascending, each once, and whether some had no pid.
pub(super) fn listed(backends: impl IntoIterator<Item = Backend>) -> (Vec<Backend>, bool) {
    let mut list: Vec<_> = backends.into_iter().collect();
    let all = list.len();
    list.retain(|backend| backend.pid > 0);
    let invalid = list.len() < all;
    list.sort_unstable();
    list.dedup();
    (list, invalid)
}

/// As in a message.
pub(super) fn write(backends: &[Backend]) -> Vec<u8> {
    let mut value = Vec::with_capacity(backends.len() * BACKEND);
    for backend in backends {
        value.extend_from_slice(&backend.pid.to_be_bytes());
        value.extend_from_slice(&backend.started.to_be_bytes());
    }
    value
}

/// At most `max`, strictly ascending, with positive pids.
pub(super) fn read(value: &[u8], max: usize) -> Option<Vec<Backend>> {
    let (backends, rest) = value.as_chunks::<BACKEND>();
    if !rest.is_empty() || backends.len() > max {
        return None;
    }
    let list: Vec<_> = backends.iter().map(backend).collect();
    (list.first().is_none_or(|first| first.pid > 0) && list.is_sorted_by(|a, b| a < b)).then_some(list)
}

fn backend(bytes: &[u8; BACKEND]) -> Backend {
    let [a, b, c, d, started @ ..] = *bytes;
    Backend { pid: i32::from_be_bytes([a, b, c, d]), started: u64::from_be_bytes(started) }
}
