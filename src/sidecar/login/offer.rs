//! Which version of the protocol the next login asks for.
//!
//! PostgreSQL answers a newer version than it knows with the one that it does. Poolers and proxies in front of it may not: PgBouncer
//! 1.18 sends an error, others just close. So 3.2 is asked for until such an answer comes, and then 3.0, which costs nothing but the
//! longer cancel keys. It holds for one target, whatever its hosts are.

use super::{LoginError, Reaction};
use crate::sidecar::wire::Version;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offer {
    /// 3.2.
    #[default]
    Newest,
    /// 3.0, since a login that asked for 3.2 was closed without a word; that may have had other reasons, and if the next login fails
    /// too, it had.
    Suspicious,
    /// 3.0.
    Oldest,
}

impl Offer {
    /// What to ask for.
    pub const fn version(self) -> Version {
        match self {
            Self::Newest => Version::V3_2,
            Self::Suspicious | Self::Oldest => Version::V3_0,
        }
    }

    /// A login that asked for `asked` failed. Returns whether the version may be why, and the same login may succeed with the next.
    pub fn failed(&mut self, asked: Version, reaction: Reaction, error: Option<&LoginError>) -> bool {
        let untold = asked > Version::V3_0 && reaction == Reaction::None;
        match (untold, error) {
            (true, Some(error)) if is_about_the_packet(error) => {
                *self = Self::Oldest;
                return true;
            }
            (true, None) if *self == Self::Newest => *self = Self::Suspicious,
            (false, _) if *self == Self::Suspicious => *self = Self::Newest,
            _ => {}
        }
        false
    }

    /// No connection came about: the server is away, and so it may have been when it closed the one before.
    pub fn unreachable(&mut self) {
        if *self == Self::Suspicious {
            *self = Self::Newest;
        }
    }

    /// A login that asked for `asked` succeeded.
    pub fn succeeded(&mut self, asked: Version) {
        match self {
            Self::Suspicious if asked == Version::V3_0 => *self = Self::Oldest,
            Self::Suspicious => *self = Self::Newest,
            Self::Newest | Self::Oldest => {}
        }
    }
}

/// protocol_violation, feature_not_supported, or no proper SQLSTATE at all: what a server says of a start-up packet that it can't
/// read.
fn is_about_the_packet(error: &LoginError) -> bool {
    match error {
        LoginError::Refused(error) => matches!(&error.sqlstate, b"08P01" | b"0A000" | b"XX000"),
        LoginError::Unexpected { .. } | LoginError::Length { .. } | LoginError::Version => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::login::ServerError;

    fn refused(sqlstate: [u8; 5]) -> LoginError {
        LoginError::Refused(Box::new(ServerError { sqlstate, ..ServerError::default() }))
    }

    #[test]
    fn a_server_that_cannot_read_the_packet_is_asked_for_less_at_once() {
        for sqlstate in [*b"08P01", *b"0A000", *b"XX000"] {
            let mut offer = Offer::default();
            assert!(offer.failed(offer.version(), Reaction::None, Some(&refused(sqlstate))));
            assert_eq!(offer.version(), Version::V3_0);
            // Others that were under way together are repeated too; one with 3.0 is not.
            assert!(offer.failed(Version::V3_2, Reaction::None, Some(&refused(sqlstate))));
            assert!(!offer.failed(Version::V3_0, Reaction::None, Some(&refused(sqlstate))));
            offer.succeeded(Version::V3_0);
            assert_eq!(offer, Offer::Oldest);
        }
    }

    #[test]
    fn other_errors_say_nothing_of_the_version() {
        for (reaction, error) in [
            (Reaction::None, refused(*b"53300")),
            (Reaction::None, refused(*b"57P03")),
            (Reaction::None, refused(*b"28000")),
            (Reaction::Some, refused(*b"08P01")),
            (Reaction::Some, LoginError::OutOfTurn),
        ] {
            let mut offer = Offer::default();
            assert!(!offer.failed(Version::V3_2, reaction, Some(&error)));
            assert_eq!(offer, Offer::Newest);
        }
    }

    #[test]
    fn a_closed_connection_is_a_suspicion_that_the_next_login_settles() {
        let mut offer = Offer::default();
        assert!(!offer.failed(Version::V3_2, Reaction::None, None));
        assert_eq!(offer.version(), Version::V3_0);
        offer.succeeded(Version::V3_0);
        assert_eq!(offer, Offer::Oldest);

        // A server that went away fails with 3.0 too.
        for error in [None, Some(refused(*b"57P03"))] {
            let mut offer = Offer::Suspicious;
            assert!(!offer.failed(Version::V3_0, Reaction::None, error.as_ref()));
            assert_eq!(offer, Offer::Newest);
        }
        let mut offer = Offer::Suspicious;
        offer.unreachable();
        assert_eq!(offer, Offer::Newest);
        // One that was under way already got through with 3.2.
        let mut offer = Offer::Suspicious;
        offer.succeeded(Version::V3_2);
        assert_eq!(offer, Offer::Newest);
        let mut offer = Offer::Suspicious;
        assert!(!offer.failed(Version::V3_2, Reaction::None, None));
        assert_eq!(offer, Offer::Suspicious);
        // A close in the middle is about something else.
        let mut offer = Offer::Newest;
        assert!(!offer.failed(Version::V3_2, Reaction::Some, None));
        assert_eq!(offer, Offer::Newest);
    }
}
