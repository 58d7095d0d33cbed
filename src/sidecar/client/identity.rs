//! What a client wants its session to be, and what it was told about it: shared by all clients that want the same.

use std::rc::Rc;

use crate::sidecar::state::parse_settings;
use crate::sidecar::wire::{Parameters, message};

/// Different sets of parameters that are remembered after their last client has left.
const REMEMBERED: usize = 64;

/// Start-up parameters that clients have in common. Two clients want the same session exactly if their identities are one `Rc`.
#[derive(Debug, Default)]
pub struct Identity {
    /// What the client asked for. `application_name` is always there, since our own logins carry another.
    pub parameters: Parameters,
    /// Those of them that parsing a statement depends on; equal ones are one `Rc`.
    pub parsing: Rc<Parameters>,
    /// Among them is one by which PostgreSQL ends a connection that nobody uses.
    pub ends_idle: bool,
}

/// All identities in use, and what a client that logs in now is told.
#[derive(Debug, Default)]
pub struct Identities {
    known: Vec<Known>,
    /// What the last server login reported; none before the first.
    base: Option<Rc<Parameters>>,
    /// Sets of reported parameters, so that equal ones are one `Rc`.
    reports: Vec<Rc<Parameters>>,
}

#[derive(Debug)]
struct Known {
    identity: Rc<Identity>,
    /// What a server connection reported once it had taken the identity on, and that report as messages.
    report: Option<(Rc<Parameters>, Box<[u8]>)>,
}

impl Identities {
    /// Whether a server login has told what to greet clients with.
    pub fn can_greet(&self) -> bool {
        self.base.is_some()
    }

    /// A server login has reported `parameters`. If they are others than before, the greetings are made anew.
    pub fn logged_in(&mut self, parameters: Parameters) {
        let parameters = self.share(parameters);
        if self.base.as_ref().is_none_or(|base| !differ_only_in_name(base, &parameters)) {
            self.known.iter_mut().for_each(|known| known.report = None);
            self.base = Some(parameters);
        }
    }

    /// The identity of clients that want `parameters`.
    pub fn of(&mut self, parameters: Parameters) -> Rc<Identity> {
        if let Some(known) = self.known.iter().find(|known| known.identity.parameters == parameters) {
            return Rc::clone(&known.identity);
        }
        if self.known.len() >= REMEMBERED {
            self.known.retain(|known| Rc::strong_count(&known.identity) > 1);
        }
        let parsing = parse_settings(&parameters);
        let same = self.known.iter().find(|known| *known.identity.parsing == parsing);
        let parsing = same.map_or_else(|| Rc::new(parsing), |known| Rc::clone(&known.identity.parsing));
        let ends_idle = parameters.get(b"idle_session_timeout").is_some_and(|value| value != b"0");
        let identity = Rc::new(Identity { parameters, parsing, ends_idle });
        self.known.push(Known { identity: Rc::clone(&identity), report: None });
        identity
    }

    /// Equal sets become one.
    pub fn share(&mut self, report: Parameters) -> Rc<Parameters> {
        if let Some(known) = self.reports.iter().find(|known| ***known == report) {
            return Rc::clone(known);
        }
        if self.reports.len() >= REMEMBERED {
            self.reports.retain(|report| Rc::strong_count(report) > 1);
        }
        let report = Rc::new(report);
        self.reports.push(Rc::clone(&report));
        report
    }

    /// A server connection reported this with the identity on: exactly what the next such client must be told.
    pub fn learn(&mut self, identity: &Rc<Identity>, report: &Rc<Parameters>) {
        if let Some(known) = self.known.iter_mut().find(|known| Rc::ptr_eq(&known.identity, identity))
            && !matches!(&known.report, Some((old, _)) if Rc::ptr_eq(old, report))
        {
            known.report = Some((Rc::clone(report), statuses(report)));
        }
    }

    /// Appends ParameterStatus messages for a client with this identity and returns what they say; `None` before the first server
    /// login. Until a server connection has had the identity on, it is what the client asked for in its own spelling; whatever turns
    /// out to differ is reported when the client gets its first server connection.
    pub fn greet(&mut self, identity: &Rc<Identity>, out: &mut Vec<u8>) -> Option<Rc<Parameters>> {
        let at = self.known.iter().position(|known| Rc::ptr_eq(&known.identity, identity))?;
        if self.known.get(at)?.report.is_none() {
            let mut expected = Parameters::clone(self.base.as_ref()?);
            for (name, value) in identity.parameters.iter().filter(|(name, _)| self.reported(name)) {
                expected.set(name, value);
            }
            let expected = self.share(expected);
            let bytes = statuses(&expected);
            self.known.get_mut(at)?.report = Some((expected, bytes));
        }
        let (report, bytes) = self.known.get(at)?.report.as_ref()?;
        out.extend_from_slice(bytes);
        Some(Rc::clone(report))
    }

    fn reported(&self, name: &[u8]) -> bool {
        self.base.as_ref().is_some_and(|base| base.get(name).is_some())
    }
}

/// Appends what `now` says otherwise than `told`.
pub fn corrections(told: &Parameters, now: &Parameters, out: &mut Vec<u8>) {
    for (name, value) in now.iter().filter(|(name, value)| told.get(name) != Some(value)) {
        status(out, name, value);
    }
}

/// Appends one thing of what was `told`, once more. PostgreSQL may say such a thing at any time.
pub fn repetition(told: &Parameters, out: &mut Vec<u8>) {
    if let Some((name, value)) = told.iter().next() {
        status(out, name, value);
    }
}

fn statuses(parameters: &Parameters) -> Box<[u8]> {
    let mut out = Vec::new();
    parameters.iter().for_each(|(name, value)| status(&mut out, name, value));
    out.into()
}

fn status(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    message(out, b'S', |out| [name, b"\0", value, b"\0"].iter().for_each(|part| out.extend_from_slice(part)));
}

/// Our own logins are told apart by their application_name, which is not what a client will see.
fn differ_only_in_name(a: &Parameters, b: &Parameters) -> bool {
    let name = &b"application_name"[..];
    let without =
        |parameters: &Parameters| -> Parameters { parameters.iter().filter(|(key, _)| *key != name).collect() };
    without(a) == without(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        pairs.iter().copied().collect()
    }

    #[test]
    fn a_client_is_told_what_it_asked_for_then_what_the_server_made_of_it() {
        let mut identities = Identities::default();
        let identity =
            identities.of(parameters(&[("application_name", "shop"), ("datestyle", "iso"), ("work_mem", "1MB")]));
        assert!(identities.greet(&identity, &mut Vec::new()).is_none());
        identities.logged_in(parameters(&[
            ("application_name", "weir/0/1"),
            ("DateStyle", "ISO, MDY"),
            ("TimeZone", "UTC"),
        ]));

        let told = identities.greet(&identity, &mut Vec::new()).unwrap();
        assert_eq!(*told, parameters(&[("application_name", "shop"), ("DateStyle", "iso"), ("TimeZone", "UTC")]));

        let now = parameters(&[("application_name", "shop"), ("DateStyle", "ISO, MDY"), ("TimeZone", "UTC")]);
        let now = identities.share(now);
        let mut out = Vec::new();
        corrections(&told, &now, &mut out);
        assert_eq!(out, b"S\0\0\0\x17DateStyle\0ISO, MDY\0");
        let mut again = Vec::new();
        repetition(&parameters(&[("DateStyle", "ISO, MDY"), ("TimeZone", "UTC")]), &mut again);
        assert_eq!(again, out);

        identities.learn(&identity, &now);
        let mut out = Vec::new();
        let told = identities.greet(&identity, &mut out).unwrap();
        assert!(Rc::ptr_eq(&told, &now));
        assert!(out.starts_with(b"S\0\0\0\x1bDateStyle") || out.starts_with(b"S\0\0\0\x1aapplication_name\0shop\0"));
    }

    #[test]
    fn equal_wishes_are_one_identity() {
        let mut identities = Identities::default();
        let a = identities.of(parameters(&[("application_name", "a")]));
        let b = identities.of(parameters(&[("application_name", "a")]));
        let c = identities.of(parameters(&[("application_name", "c")]));
        assert!(Rc::ptr_eq(&a, &b) && !Rc::ptr_eq(&a, &c));
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let mut identities = Identities::default();
        for n in 0..10_000 {
            let name = n.to_string();
            identities.of(parameters(&[("application_name", &name)]));
            identities.share(parameters(&[("application_name", &name)]));
        }
        assert!(identities.known.len() <= REMEMBERED + 1 && identities.reports.len() <= REMEMBERED + 1);
    }
}
