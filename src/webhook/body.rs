//! The bodies of reviews: how much of them is held at a time.
//!
//! Anyone on the pod network may send some, and a parsed body is many times its text. So two sums are bounded over all connections:
//! the bytes that have arrived, and the bytes that are being worked on. Bytes count as they come, so a sender that is slow takes no
//! room from others.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes of one review. An object is at most 1.5 MiB in etcd (3 MiB as a request), and a review of a new pod holds one.
pub const BODY_MAX: usize = 3 * 1024 * 1024;
/// For the whole body to arrive; the API server gives up on us after 3 s.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of all bodies.
const HELD_MAX: usize = 32 * 1024 * 1024;

/// Why a body did not arrive.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It took too long, or others took all room.
    Slow,
    /// It is too large, or broke off.
    Broken,
}

/// The room that bodies have.
#[derive(Debug)]
pub struct Room {
    held: Semaphore,
    worked_on: Semaphore,
}

impl Default for Room {
    fn default() -> Self {
        Self { held: Semaphore::new(HELD_MAX), worked_on: Semaphore::new(BODY_MAX) }
    }
}

/// A whole body; its room is given back with it.
pub struct Held<'r> {
    /// The bytes.
    pub bytes: Vec<u8>,
    _permit: Option<SemaphorePermit<'r>>,
}

impl Room {
    /// Reads a whole body.
    pub async fn read(&self, body: Body) -> Result<Held<'_>, BodyError> {
        tokio::time::timeout(BODY_TIMEOUT, self.collect(body)).await.map_err(|_| BodyError::Slow)?
    }

    async fn collect(&self, mut body: Body) -> Result<Held<'_>, BodyError> {
        let (mut bytes, mut permit) = (Vec::new(), None::<SemaphorePermit<'_>>);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            if bytes.len() + data.len() > BODY_MAX {
                return Err(BodyError::Broken);
            }
            let more = self.acquire(&self.held, data.len()).await?;
            match &mut permit {
                Some(permit) => permit.merge(more),
                None => permit = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Held { bytes, _permit: permit })
    }

    /// Waits for the turn of a body to be worked on, which lasts as long as the permit. Never hold one while waiting for anything else.
    pub async fn turn(&self, body: &Held<'_>) -> Result<SemaphorePermit<'_>, BodyError> {
        let turn = self.acquire(&self.worked_on, body.bytes.len());
        tokio::time::timeout(BODY_TIMEOUT, turn).await.map_err(|_| BodyError::Slow)?
    }

    async fn acquire<'r>(&'r self, room: &'r Semaphore, bytes: usize) -> Result<SemaphorePermit<'r>, BodyError> {
        let bytes = u32::try_from(bytes).map_err(|_| BodyError::Broken)?;
        room.acquire_many(bytes).await.map_err(|_| BodyError::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn full() -> Body {
        Body::from(vec![b' '; BODY_MAX])
    }

    /// A body of which `sent` bytes come, and never the rest.
    fn stuck(sent: usize) -> Body {
        use futures::StreamExt as _;
        let sent = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; sent]))]);
        Body::from_stream(sent.chain(futures::stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn many_large_bodies_wait_for_room() {
        let room = Room::default();
        let mut held = Vec::new();
        for _ in 0..HELD_MAX / BODY_MAX {
            held.push(room.read(full()).await.unwrap_or_else(|error| panic!("{error:?}")));
        }
        assert_eq!(room.read(full()).await.err(), Some(BodyError::Slow));
        held.pop();
        assert!(room.read(full()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_sender_takes_only_what_it_sent() {
        let room = Room::default();
        let slow = futures::future::join_all((0..500).map(|_| room.read(stuck(1024))));
        let (slow, quick) = futures::join!(slow, room.read(full()));
        assert!(slow.iter().all(|slow| slow.as_ref().err() == Some(&BodyError::Slow)));
        assert!(quick.is_ok());
        assert_eq!(room.held.available_permits(), HELD_MAX - BODY_MAX, "what is given up gives its room back");
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_are_worked_on_one_at_a_time_and_small_ones_together() {
        let room = Room::default();
        let large = room.read(full()).await.unwrap_or_else(|error| panic!("{error:?}"));
        let small = room.read(Body::from("{}")).await.unwrap_or_else(|error| panic!("{error:?}"));
        let first = room.turn(&small).await;
        assert!(room.turn(&small).await.is_ok());
        assert_eq!(room.turn(&large).await.err(), Some(BodyError::Slow));
        drop(first);
        assert!(room.turn(&large).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_has_a_largest_size() {
        let room = Room::default();
        assert_eq!(room.read(Body::from(vec![b' '; BODY_MAX + 1])).await.err(), Some(BodyError::Broken));
        assert_eq!(room.held.available_permits(), HELD_MAX);
    }
}
