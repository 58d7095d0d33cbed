//! Our own prepared statements on a server connection, which ask and tidy up without dropping the client's unnamed statement.

use crate::sidecar::state::{Ask, Hints, Pins};
use crate::sidecar::wire::message;

const ASK: &[u8] = b"weir_ask";
const PLANS: &[u8] = b"weir_plans";

/// Appends what makes them.
pub fn make_tools(out: &mut Vec<u8>) {
    Ask::parse(ASK, out);
    message(out, b'P', |out| {
        out.extend_from_slice(PLANS);
        out.extend_from_slice(b"\0DISCARD PLANS\0\0\0");
    });
}

/// Appends the question for what these hints are about, of a client with these pins; it ends with Sync. Plans that were made under
/// settings that hold no more are thrown away on the way.
///
/// PostgreSQL makes a plan, and reads the constants in it, under the settings of that moment, and keeps it whatever they are later
/// (`BuildCachedPlan`), so that plans would carry one client's settings to the next.
pub fn ask<'a>(hints: Hints, pins: Pins, custom: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    if hints.contains(Hints::SETTINGS) {
        message(out, b'B', |out| {
            out.push(0);
            out.extend_from_slice(PLANS);
            out.extend_from_slice(&[0; 7]);
        });
        message(out, b'E', |out| out.extend_from_slice(&[0; 5]));
    }
    Ask::new(hints, pins).run(ASK, custom, out);
}
