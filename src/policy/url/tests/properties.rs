//! What holds for every URL, by chance.

use proptest::prelude::*;

use super::super::expansion::{escape, references, unescape};
use super::*;

/// Parts of URLs, the odd ones included.
fn part() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9._~!$'()*;:+-]{1,8}|%[2-7][0-9a-f]|ü"
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z_]{1,6}",
        1 => prop::sample::select(vec!["sslmode", "ssl", "port", "host", "connection_limit", "sslsni", "target_session_attrs"])
            .prop_map(str::to_owned),
    ]
}

fn pair() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (key(), part()).prop_map(|(key, value)| format!("{key}={value}")),
        1 => key(),
        1 => Just(String::new()),
    ]
}

prop_compose! {
    pub fn url()(
        scheme in prop::sample::select(vec!["postgres", "postgresql"]),
        user in part().prop_filter("a colon would end it", |user| !user.contains(':')),
        password in prop::option::of(part()),
        hosts in prop::collection::vec("[a-z]{1,5}(:[1-9][0-9]{0,3})?", 1..3),
        path in prop::option::of(part().prop_filter("libraries resolve dots", |path| !path.replace("%2e", ".").trim_matches('.').is_empty())),
        query in prop::option::of(prop::collection::vec(pair(), 0..6)),
    ) -> String {
        let password = password.map(|password| format!(":{password}")).unwrap_or_default();
        let path = path.map(|path| format!("/{path}")).unwrap_or_default();
        let query = query.map(|pairs| format!("?{}", pairs.join("&"))).unwrap_or_default();
        format!("{scheme}://{user}{password}@{}{path}{query}", hosts.join(","))
    }
}

/// What an edit must not touch: the text with the password and hosts blanked, and the query's pairs whose keys are not ours.
fn untouched(text: &str) -> (String, Vec<String>) {
    let (before, query) = text.split_once('?').unwrap_or((text, ""));
    let (scheme, rest) = before.split_once("://").expect("a scheme");
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let (user, _) = authority.split_once('@').expect("a user");
    let user = user.split(':').next().unwrap_or_default();
    let ours = ["sslmode", "ssl", "port", "host", "connection_limit", "pool_timeout", "sslsni", "target_session_attrs"];
    let theirs = query.split('&').filter(|pair| !pair.is_empty());
    let theirs = theirs.filter(|pair| !ours.contains(&pair.split('=').next().unwrap_or_default()));
    (format!("{scheme}|{user}|{path:?}"), theirs.map(str::to_owned).collect())
}

proptest! {
    #[test]
    fn never_panics_and_never_echoes(text in any::<String>()) {
        for dialect in ["none", "prisma", "node-postgres", "libpq"].map(dialect) {
            if let Err(error) = redirected_for(dialect, &text, &[]) {
                prop_assert!(text.len() < 8 || !error.to_string().contains(&text));
            }
            if let Ok(url) = Url::parse(text.as_bytes(), dialect) {
                let _ = (url.user(dialect), url.password(dialect), url.database(dialect), url.ssl(dialect));
            }
        }
    }

    #[test]
    fn never_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let text = [b"postgres://".as_slice(), &bytes].concat();
        if let Ok(url) = Url::parse(&text, none()) {
            let _ = (url.hosts(none()), url.pairs(none()), url.password(none()), url.ssl(none()));
        }
    }

    #[test]
    fn an_edit_changes_nothing_but_its_spans(text in url()) {
        for parameters in [vec![], prisma_parameters()] {
            let Ok(edited) = redirected_for(none(), &text, &parameters) else { continue };
            prop_assert_eq!(untouched(&text), untouched(&edited));
            let url = Url::parse(edited.as_bytes(), none()).expect("the result splits");
            let hosts = url.hosts(none()).expect("the result names one host");
            prop_assert_eq!(hosts, [Host { name: "127.0.0.1".into(), address: None, port: 16432 }]);
            prop_assert_eq!(url.ssl(none()), Ok(SslPolicy::Disable));
            if let Some(password) = url.password(none()).expect("one password") {
                prop_assert_eq!(password, b"weir");
            }
            for Parameter { name, .. } in &parameters {
                let pairs = url.pairs(none()).expect("UTF-8");
                prop_assert_eq!(pairs.iter().filter(|(key, _)| key == name).count(), 1);
            }
            prop_assert_eq!(redirected_for(none(), &edited, &parameters), Ok(edited.clone()), "twice is once");
        }
    }

    #[test]
    fn removing_what_was_added_gives_the_url_back(text in url()) {
        let url = Url::parse(text.as_bytes(), none()).expect("a URL of ours splits");
        let fresh = !url.has(&["connection_limit", "pool_timeout"]);
        let edited = parameters(&url, &prisma_parameters(), Existing::Keep);
        if let (true, Ok(edited)) = (fresh, edited) {
            let edited = String::from_utf8(edited.text).expect("UTF-8");
            let rest = edited.strip_suffix("connection_limit=20&pool_timeout=10").expect("they are at the end");
            prop_assert!(rest == text || rest.strip_suffix(['?', '&']) == Some(&text));
        }
    }

    #[test]
    fn what_is_escaped_expands_to_itself(text in "[a$()]{0,12}") {
        prop_assert!(references(&escape(&text)).is_empty());
        prop_assert_eq!(unescape(&escape(&text)), text);
    }
}
