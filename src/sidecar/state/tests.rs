use super::*;
use crate::sidecar::wire::Parameters;
use proptest::prelude::*;

mod texts;

fn row(kind: &str, name: Option<&str>, value: Option<&str>) -> Vec<u8> {
    let mut body = vec![0, 3];
    for column in [Some(kind), name, value] {
        let length = column.map_or(-1, |text| i32::try_from(text.len()).unwrap());
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(column.unwrap_or_default().as_bytes());
    }
    body
}

fn answer(rows: &[(&str, Option<&str>, Option<&str>)]) -> Result<Answer, AnswerError> {
    let rows: Vec<_> = rows.iter().map(|(kind, name, value)| row(kind, *name, *value)).collect();
    Answer::parse(rows.iter().map(|row| &**row))
}

const WHO: (&str, Option<&str>, Option<&str>) = ("r", Some("app"), Some("none"));

fn parameters(pairs: &[(&str, &str)]) -> Parameters {
    pairs.iter().copied().collect()
}

fn pins(answer: &Answer, startup: &Parameters) -> Vec<Pin> {
    answer.pins(&Roles::of_login(b"app"), startup).iter().collect()
}

#[test]
fn an_answer_shows_settings_and_pins() {
    let found = answer(&[WHO, ("s", Some("work_mem"), Some("4096")), ("u", Some("a.b"), Some("x\\\\y"))]).unwrap();
    assert_eq!(found.settings(), &parameters(&[("work_mem", "4096"), ("a.b", "x\\y")]));
    assert_eq!(pins(&found, &Parameters::default()), []);
    let of_extension = [
        ("u", Some("e.set"), Some("1MB")),
        ("u", Some("e.unset"), Some("")),
        ("s", Some("E.Set"), Some("1024")),
        ("d", Some("E.Unset"), Some("")),
    ];
    let found = answer(&[&[WHO], &of_extension[..]].concat()).unwrap();
    assert_eq!(found.settings(), &parameters(&[("E.Set", "1024")]));
    let rows = ["l", "c", "t", "p", "k"].map(|kind| (kind, None, None));
    let found = answer(&[&[WHO], &rows[..]].concat()).unwrap();
    assert_eq!(
        pins(&found, &Parameters::default()),
        [Pin::Listen, Pin::Cursor, Pin::Temporary, Pin::Lock, Pin::Prepared]
    );
}

#[test]
fn what_can_not_be_set_elsewhere_pins() {
    for (setting, pin) in [
        (("x", Some("log_statement"), Some("all")), Pin::Setting),
        (("s", Some("temp_buffers"), Some("2000")), Pin::Setting),
        (("s", Some("search_path"), Some("\\303\\251")), Pin::Setting),
        (("s", Some("search_path"), Some("\"$user\", PG_TEMP")), Pin::Temporary),
    ] {
        assert_eq!(pins(&answer(&[WHO, setting]).unwrap(), &Parameters::default()), [pin], "{setting:?}");
    }
}

#[test]
fn another_role_than_at_login_or_at_start_up_pins() {
    let (none, owner) = (Parameters::default(), parameters(&[("role", "owner")]));
    let is = |session, current| answer(&[("r", Some(session), Some(current))]).unwrap();
    for (found, startup, pinned) in [
        (is("app", "none"), &none, false),
        (is("app", "owner"), &none, true),
        (is("other", "none"), &none, true),
        (is("app", "owner"), &owner, false),
        (is("app", "none"), &owner, false),
        (is("app", "third"), &owner, true),
    ] {
        assert_eq!(!pins(&found, startup).is_empty(), pinned, "{found:?}");
    }
}

#[test]
fn an_answer_of_another_form_is_none() {
    for rows in [
        &[][..],
        &[WHO, WHO],
        &[WHO, ("z", None, None)],
        &[WHO, ("s", None, Some("x"))],
        &[WHO, ("l", Some("x"), None)],
        &[WHO, ("s", Some("a"), Some("\\9"))],
    ] {
        assert_eq!(answer(rows), Err(AnswerError), "{rows:?}");
    }
    let mut longer = row("l", None, None);
    longer.push(0);
    let who = row("r", Some("app"), Some("none"));
    assert_eq!(Answer::parse([&*who, &longer]), Err(AnswerError));
}

#[test]
fn what_a_client_has_reset_has_its_start_up_value_again() {
    let startup = parameters(&[("timezone", "UTC"), ("work_mem", "1MB"), ("app.user", "7"), ("app.other", "8")]);
    let found = answer(&[
        WHO,
        ("s", Some("work_mem"), Some("4096")),
        ("u", Some("app.user"), Some("")),
        ("u", Some("app.other"), Some("9")),
        ("u", Some("app.third"), Some("")),
        ("s", Some("search_path"), Some("")),
    ]);
    let expected = parameters(&[
        ("timezone", "UTC"),
        ("work_mem", "4096"),
        ("app.user", "7"),
        ("app.other", "9"),
        ("app.third", ""),
        ("search_path", ""),
    ]);
    assert_eq!(settle(&startup, &found.unwrap()), expected);
}

#[test]
fn a_statement_is_another_by_what_parsing_and_planning_read() {
    let settings = parameters(&[
        ("Statement_Timeout", "0"),
        ("log_duration", "on"),
        ("search_path", "a"),
        ("TimeZone", "UTC"),
        ("log_x.y", "1"),
        ("extra_float_digits", "3"),
    ]);
    let expected =
        parameters(&[("search_path", "a"), ("TimeZone", "UTC"), ("log_x.y", "1"), ("extra_float_digits", "3")]);
    assert_eq!(parse_settings(&settings), expected);
}

#[test]
fn what_may_be_gone_is_asked_for_while_it_pins() {
    assert!(!Hints::UNPINS.asks(Pins::NONE));
    assert!(Hints::UNPINS.asks(Pin::Lock.into()));
    assert!(Hints::NONE.asks(Pin::Unknown.into()));
    assert!(!Hints::NONE.asks(Pin::Lock.into()));
    assert!(!(Hints::DROPS_STATEMENTS | Hints::ONLY_LOCAL).asks(Pin::Lock.into()));
    for hints in [Hints::SETTINGS, Hints::CUSTOM, Hints::UNKNOWN_CUSTOM, Hints::LOCKS, Hints::ANYTHING] {
        assert!(hints.asks(Pins::NONE), "{hints:?}");
    }
    assert_eq!(Pins::of_hints(Hints::UNKNOWN_CUSTOM), Pin::Custom.into());
}

proptest! {
    #[test]
    fn reading_an_answer_never_panics(rows in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4)) {
        let _ = Answer::parse(rows.iter().map(|row| &**row));
    }
}
