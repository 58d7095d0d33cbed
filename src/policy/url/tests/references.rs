//! URLs that refer to other variables, held against the kubelet's own way of expanding them.

use proptest::prelude::*;

use super::properties::url;
use super::*;
use crate::policy::url::expansion::{expand, kubelet, mask, references};

#[test]
fn finds_references_as_the_kubelet_does() {
    for (text, expected) in [
        ("postgres://$(USER):$(P_1)@db", vec!["USER", "P_1"]),
        ("$(URL)", vec!["URL"]),
        ("a$$$(X)", vec!["X"]),
        ("$()", vec![""]),
        ("$($(X))", vec!["$(X"]),
        ("$ü$(X)", vec!["X"]),
        ("a$$(X)", vec![]),
        ("a$(X", vec![]),
        ("a$x(X)", vec![]),
        ("a$", vec![]),
        ("a$$", vec![]),
        ("", vec![]),
    ] {
        let found = references(text);
        assert_eq!(found.iter().map(|(_, name)| *name).collect::<Vec<_>>(), expected, "{text}");
        for (span, name) in found {
            assert_eq!(text[span], format!("$({name})"));
        }
    }
}

fn redirected_template(text: &str, parameters: &[Parameter]) -> Result<String, UrlError> {
    let template = Template::new(text);
    let url = template.url(none())?;
    let edited = redirect(&url, none(), &Redirect { port: 16432, parameters, existing: Existing::Keep })?;
    Ok(String::from_utf8(edited.text).expect("UTF-8 in, UTF-8 out"))
}

#[test]
fn references_in_a_url_stay_where_their_part_stays() {
    for (from, to) in [
        ("postgres://u:$(PW)@db/app", "postgres://u:weir@127.0.0.1:16432/app?sslmode=disable"),
        ("postgres://u:a$(PW)b@db/app", "postgres://u:weir@127.0.0.1:16432/app?sslmode=disable"),
        (
            "postgres://$(U):$(PW)@$(H):$(PORT)/$(D)?schema=$(S)&sslmode=require",
            "postgres://$(U):weir@127.0.0.1:16432/$(D)?schema=$(S)&sslmode=disable",
        ),
        (
            "postgres://$(U)@$(H1):1,[$(H2)]:$(P2)/a_$(D)_$$b",
            "postgres://$(U)@127.0.0.1:16432/a_$(D)_$$b?sslmode=disable",
        ),
        (
            "postgres://u@db/app?user$=$(X)&connection_limit=$(N)",
            "postgres://u@127.0.0.1:16432/app?user$=$(X)&connection_limit=$(N)&sslmode=disable",
        ),
        // Whatever a name is made of.
        ("postgres://$(a@b/c?d#e f):x@db/app", "postgres://$(a@b/c?d#e f):weir@127.0.0.1:16432/app?sslmode=disable"),
    ] {
        assert_eq!(redirected_template(from, &[]).as_deref(), Ok(to), "{from}");
    }
    for (text, error) in [
        ("$(URL)", UrlError::Reference),
        ("$(URL)?schema=x", UrlError::Reference),
        ("$(SCHEME)://u@db/app", UrlError::Reference),
        ("postgres$(S)://u@db/app", UrlError::Reference),
        ("mysql://u:$(PW)@db/app", UrlError::Scheme),
        ("host=$(H) dbname=x", UrlError::NotUrl),
        ("postgres://u@db/app?$(K)=v", UrlError::Reference),
        ("postgres://u@db/app?$(QUERY)", UrlError::Reference),
        ("postgres://u@db/app?sslmode=$(M)", UrlError::Reference),
        ("postgres://u@db/app?%73slmode=$(M)", UrlError::Reference),
        ("postgres://u@db/app?host=$(H)", UrlError::Reference),
        ("postgres://$(AUTHORITY)", UrlError::Reference),
        ("postgres://u@$(HOST)", UrlError::Reference),
        ("postgres://u@$(HOST)?schema=x", UrlError::Reference),
        ("postgres://$(AUTHORITY)/app", UrlError::NoUser),
    ] {
        assert_eq!(redirected_template(text, &[]), Err(error), "{text}");
    }
}

proptest! {
    #[test]
    fn references_are_what_the_kubelet_asks_for(text in "[aü$(){}]{0,12}") {
        let asked = std::cell::RefCell::new(Vec::new());
        let expanded = kubelet(&text, |name| {
            asked.borrow_mut().push(name.to_owned());
            None
        });
        let found: Vec<_> = references(&text).into_iter().map(|(_, name)| name.to_owned()).collect();
        prop_assert_eq!(&found, &asked.into_inner());
        prop_assert_eq!(mask(&text).len(), text.len());
        prop_assert!(references(&mask(&text)).is_empty() && (!found.is_empty() || mask(&text) == text));
        prop_assert_eq!(expand(&text, 100, |_| None), Some(expanded));
        let value = |name: &str| (!name.is_empty()).then_some("v$$");
        prop_assert_eq!(expand(&text, 100, value), Some(kubelet(&text, |name| value(name).map(str::to_owned))));
    }

    /// Redirecting the template and expanding it is expanding the URL and redirecting it.
    #[test]
    fn references_do_not_change_what_an_edit_does(text in url(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        // Makes references of parts of a URL: each stands for a run of its letters and digits.
        let text = text.replace(['$', '(', ')'], "x");
        let word = |byte: &u8| byte.is_ascii_alphanumeric();
        let (mut template, mut values) = (text.clone(), std::collections::BTreeMap::new());
        for (number, cut) in cuts.iter().enumerate() {
            let start = cut.index(template.len());
            let run = template.as_bytes()[start..].iter().take_while(|byte| word(byte)).count();
            let inside = references(&template).iter().any(|(span, _)| span.start < start + run && start < span.end);
            if run > 0 && !inside && template.as_bytes().get(start.wrapping_sub(1)) != Some(&b'%') && template.as_bytes().get(start.wrapping_sub(2)) != Some(&b'%') {
                let value = template[start..start + run].to_owned();
                template.replace_range(start..start + run, &format!("$(V{number})"));
                values.insert(format!("V{number}"), value);
            }
        }
        let expanded = |template: &str| kubelet(template, |name| values.get(name).cloned());
        prop_assert_eq!(&expanded(&template), &text);
        for parameters in [vec![], prisma_parameters()] {
            if let Ok(edited) = redirected_template(&template, &parameters) {
                prop_assert_eq!(Ok(expanded(&edited)), redirected_for(none(), &text, &parameters));
                prop_assert_eq!(redirected_template(&edited, &parameters), Ok(edited.clone()), "twice is once");
            }
        }
    }
}
