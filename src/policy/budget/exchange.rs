//! What leader and boot say to each other about a budget: the messages, and which of them are taken.
//!
//! | message | from | proof | says |
//! | --- | --- | --- | --- |
//! | [`Hello`] | boot | MAC | who I am, whom I follow, and a nonce |
//! | [`Statement`] without an order: discovery | leader | signature | follow me; what do you have? |
//! | [`Statement`] with an order | leader | signature | your settings and your grant |
//! | [`Answer`] with a report | boot | MAC | to that message: what I have, cost and need |
//! | [`Answer`], final | boot | MAC | to that message: I cost nothing and open nothing more |
//! | [`Look`] | leader | signature | look at your PostgreSQL |
//! | [`Looked`] | boot | MAC | to that look: which server it is, and the role's backends there |
//!
//! One encoding (`frame`), one text for one message, a cap on its length before anything is read, and the signature ([`Keys`]) or
//! MAC ([`ReplyKeys`]) checked before any field is. This module never does I/O, never reads a clock, never draws randomness and
//! never adds or compares grants.
//!
//! # What a boot takes
//!
//! A message that a key of its pod signed, for its pool, pod and boot, that is above the last one that the pod took, in
//! (epoch, sequence). So
//!
//! - a forged or altered one fails at the signature; one for another pod or boot is useless there; a replay is not above itself;
//! - once a pod has answered an epoch, no lower one moves it any more, in this boot or a later one: the [`Fence`] is in the journal
//!   before it counts ([`Boot::take`] decides, [`Boot::journalled`] moves);
//! - delay, loss, duplication and reordering only lose messages. One that was lost is not sent again but said anew, with the next
//!   sequence.
//!
//! # Which messages need a nonce
//!
//! The first of an epoch that a boot takes, discovery or statement; it *opens* the epoch at that boot, once it is journalled.
//! (What comes before that without a nonce is refused like any other first one.) The danger is a leader that was replaced and
//! does not know it. Its messages to a boot that follows its successor are refused. Its messages to a boot that follows it, and
//! has not heard of the successor, move only connections within the total that it wrote down before it was replaced, and its
//! successor gives nothing away that such a boot may have, before that boot has answered. What is left is a boot that follows
//! nobody, or somebody older: there, a message that lay in a frozen process or a socket could open a dead epoch at any later
//! time. A nonce makes such a message die [`NONCE_VALID`] after the hello it repeats. So if a leader looks, between that hello
//! and its first message, that the ledger still has its epoch, then the boot existed when the successor claimed the ledger, the
//! successor finds its pod in a list made after the claim, and no epoch is opened by a message that came later than 2 s after it
//! ended. (That is by the boot's own clock. Where it stands still, or its disk does before the message is journalled, its pod is
//! on that list and has not answered, so what it may have is held.) The discovery needs the nonce though it grants nothing:
//! whatever follows it in the epoch needs none.
//!
//! Later ones of the epoch need none: a round trip for each would halve the pace of the budget, and they prove their place by
//! sequence. A leader may add one to any of them; then it is checked. A nonce is shared by the hellos of one second and not used
//! up: it shows that a message is young, the fence shows that it is new. A boot that follows another in its pod has opened nothing
//! itself, so its first message needs a nonce in an epoch that the pod knows, too.
//!
//! # What a leader takes
//!
//! [`Answer::verify`]: what a pod of the pool said as that pod and boot, while it follows that leader, to that very message, by
//! digest. An answer to an older message is refused as [`Refusal::OtherStatement`]; a leader that kept the older one may hold it
//! against that, and then knows that it is late: fit to be shown, never to release anything, since a grant may have grown in
//! between.
//!
//! [`Looked::verify`]: the same for a look, whatever epoch the boot follows meanwhile. A sighting is one of its [`Upstream`]
//! alone, and says nothing of reports of another server or role.
//!
//! [`Hello::decode`]: whom to talk to, and nothing else. An epoch in it may be a later leader's or anything: a leader never
//! adopts it. It reads the ledger, and only what is written there makes it step down; where the ledger is still its own, that pod
//! refuses it and stays unfenced, alone.
//!
//! # Not promised
//!
//! A pod that lies is believed: answers and sightings are its own word.
//!
//! A reply key is a pool's, not a pod's. A pod can speak as another of its pool, and so can who may read pods in that namespace.
//! Nobody else can, whatever address he has got.
//!
//! A report names one upstream. What a pod is charged with at others is in its charge, and is not listed: [`Report::unlisted`].
//! The role's name is known by 8 bytes of its SHA-256.

mod answer;
mod backends;
mod boot;
mod document;
mod frame;
mod hello;
mod keys;
mod look;
mod looked;
mod refusal;
mod reply;
mod statement;
mod taken;
mod upstream;
mod words;

pub use crate::policy::budget::Connections;
pub use answer::{ANSWER_MAX, Answer, Report, Said};
pub use backends::{BACKENDS_MAX, Backend, Backends};
pub use boot::{Boot, NONCE_VALID};
pub use document::{DOCUMENT_MAX, Document};
pub use frame::{PROTOCOL, UNKNOWN_MAX, Unknown};
pub use hello::{HELLO_MAX, Hello, KEYS_MAX};
pub use keys::{KeyError, Keys, SigningKey};
pub use look::{LOOK_MAX, Look, Looking, VerifiedLook};
pub use looked::{LOOKED_MAX, Looked, ROWS_MAX, Rows, Sighting};
pub use refusal::Refusal;
pub use reply::{ReplyKey, ReplyKeys};
pub use statement::{Fence, Order, STATEMENT_MAX, Sent, Statement, Verified};
pub use taken::{Accepted, LastRecord, Taken};
pub use upstream::{RoleId, Upstream};
pub use words::{BootId, Challenge, Digest, Epoch, KeyId, Nonce, PodUid, PoolName, Sequence};

#[cfg(test)]
pub(crate) mod tests;
