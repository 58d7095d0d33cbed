//! Mode Pooler: our container first, and every container that has the variable pointed at it.
//!
//! Which containers: those under `containers`, with the pool parameters of their library; and those under `initContainers` that start
//! after ours, without parameters, since psql and migration tools refuse them. That includes other native sidecars: they have the
//! variable, so they are clients of the pool like the rest. An init container before ours keeps its URL, for it runs to its end before
//! our listener exists.

use serde_json::{Value, json};

use super::editor::Editor;
use super::environment::{lowered, undisturbed};
use super::pod::{Container, List, Pod};
use super::reason::{Skip, SkipReason};
use super::rewrite::{Rewrite, ports_of};
use super::sidecar::{Present, present};
use super::source::{Holder, Source, holder};
use super::{Bounds, Sidecar, ports, resources, sidecar as ours};
use crate::names;
use crate::policy::dialect;
use crate::policy::settings::{Injected, SETTINGS_VERSION, Settings};
use crate::policy::validate::ValidatedPool;

/// See the module.
pub(super) fn inject(
    editor: &mut Editor,
    pool: &ValidatedPool,
    sidecar: &Sidecar,
    bounds: &Bounds,
) -> Result<(), Skip> {
    let document = editor.document().clone();
    let pod = Pod(&document);
    let note = note(pod, &pool.name);
    let there = pod.containers().any(|container| container.name() == names::container(&pool.name));
    match (note, present(pod, &pool.name)) {
        (Some(note), Some(present)) => {
            again(editor, pod, pool, &note, &present);
            Ok(())
        }
        (Some(_), None) if !there => {
            let seen =
                format!("the pod says that it carries container {:?}, and does not", names::container(&pool.name));
            Err(SkipReason::StaleAnnotation.because(seen))
        }
        _ => first(editor, pod, pool, sidecar, bounds),
    }
}

/// Whether the pod says that it carries a pooler for this pool.
pub(super) fn noted(pod: Pod<'_>, pool: &str) -> bool {
    note(pod, pool).is_some()
}

fn note(pod: Pod<'_>, pool: &str) -> Option<Injected> {
    let note: Injected = serde_json::from_str(pod.annotation(&names::injected_annotation(pool))?).ok()?;
    note.listen.is_some().then_some(note)
}

fn first(
    editor: &mut Editor,
    pod: Pod<'_>,
    pool: &ValidatedPool,
    sidecar: &Sidecar,
    bounds: &Bounds,
) -> Result<(), Skip> {
    possible(pod, &pool.name)?;
    let (holders, left_alone) = holders(pod, &pool.env)?;
    let source = one_source(&holders, &pool.env)?;
    for holder in &holders {
        undisturbed(holder, pool.dialect)?;
    }
    let applications =
        || holders.iter().map(|holder| holder.container).filter(|container| container.list == List::Main);
    let limits = lowered(pool.limits, applications())?;

    let ports = ports::choose(pod, ports_of(&source, pool.dialect))?;
    let hidden = matches!(source, Source::Key { .. });
    let settings = Settings {
        version: SETTINGS_VERSION,
        pool: format!("{}/{}", pool.namespace, pool.name),
        generation: pool.generation,
        profile: pool.profile,
        pool_mode: pool.pool_mode,
        verify: pool.verify,
        client: pool.dialect.id.to_owned(),
        limits,
        thresholds: pool.thresholds,
        placeholders: hidden.then(|| pool.placeholders.clone()),
        unknown: serde_json::Map::new(),
    };
    let rewrite = Rewrite::new(&settings, pool.dialect, ports.listen);
    let mut kept = Vec::new();
    for holder in &holders {
        kept.extend(rewrite.apply(editor, holder, &pool.env)?);
    }
    kept.sort();
    kept.dedup();
    for volume in ours::volumes(&pool.name, &source) {
        editor.insert(&["spec".into(), "volumes".into()], None, volume);
    }
    let mut container = ours::container(pod, &pool.name, sidecar, &settings, &source, ports);
    if let Some(resources) = resources::fitting(pod, &sidecar.resources, bounds) {
        container["resources"] = resources;
    }
    editor.insert(&["spec".into(), List::Init.field().into()], Some(0), container);
    let note = Injected {
        generation: pool.generation,
        listen: Some(ports.listen),
        control: ports.control,
        max: limits.max,
        kept,
        left_alone,
        unknown: serde_json::Map::new(),
    };
    editor.annotate(&names::injected_annotation(&pool.name), &json!(note).to_string());
    Ok(())
}

/// The pod carries the pool. Containers that came since with the same source are pointed at it, with the settings that our container
/// has; what differs is left alone and noted.
fn again(editor: &mut Editor, pod: Pod<'_>, pool: &ValidatedPool, note: &Injected, present: &Present<'_>) {
    let (Some(listen), Some(dialect)) = (note.listen, dialect::find(&present.settings.client)) else { return };
    let rewrite = Rewrite::new(&present.settings, dialect, listen);
    let mut left_alone = note.left_alone.clone();
    let mut leave = |container: &Container<'_>, reason: SkipReason| {
        let entry = format!("{}: {}", container.name(), reason.as_str());
        if !left_alone.contains(&entry) {
            left_alone.push(entry);
        }
    };
    for container in
        pod.containers().filter(|container| container.list == List::Main || container.index > present.index)
    {
        match holder(container, &pool.env) {
            Ok(Some(holder)) if rewrite.done(&holder) => {}
            Ok(Some(holder)) if holder.source == present.source => {
                let rewritten = undisturbed(&holder, dialect).and_then(|()| rewrite.apply(editor, &holder, &pool.env));
                if let Err(skip) = rewritten {
                    leave(&container, skip.reason);
                }
            }
            Ok(Some(_)) => leave(&container, SkipReason::DifferentUrls),
            Ok(None) if container.may_take_from_env_from(&pool.env) => leave(&container, SkipReason::EnvFrom),
            Ok(None) => {}
            Err(skip) => leave(&container, skip.reason),
        }
    }
    let note = Injected { left_alone, ..note.clone() };
    let key = names::injected_annotation(&pool.name);
    let same = pod.annotation(&key).and_then(|text| serde_json::from_str(text).ok()) == Some(note.clone());
    if !same {
        editor.annotate(&key, &json!(note).to_string());
    }
}

/// What rules a pooler out.
fn possible(pod: Pod<'_>, pool: &str) -> Result<(), Skip> {
    let spec = pod.spec();
    if spec.and_then(|spec| spec.get("hostNetwork")) == Some(&Value::Bool(true)) {
        return Err(SkipReason::HostNetwork.because("the pod shares its node's network, loopback included"));
    }
    let system = spec.and_then(|spec| spec.get("os")?.get("name"));
    let node = spec.and_then(|spec| spec.get("nodeSelector")?.get("kubernetes.io/os"));
    if [system, node].contains(&Some(&Value::from("windows"))) {
        return Err(SkipReason::Windows.because("the pod runs on Windows"));
    }
    let name = names::container(pool);
    if pod.containers().any(|container| container.name() == name) {
        return Err(SkipReason::NameTaken.because(format!("the pod has a container {name:?} of another origin")));
    }
    let volumes = [names::state_volume(pool), names::url_volume(pool), names::token_volume(pool)];
    match pod.volumes().find(|volume| volumes.iter().any(|name| name == volume)) {
        Some(volume) => {
            Err(SkipReason::NameTaken.because(format!("the pod has a volume {volume:?} of another origin")))
        }
        None => Ok(()),
    }
}

/// The containers that have the variable, and the notes on those that may have it unseen.
fn holders<'p>(pod: Pod<'p>, variable: &str) -> Result<(Vec<Holder<'p>>, Vec<String>), Skip> {
    let (mut holders, mut unseen) = (Vec::new(), Vec::new());
    for container in pod.containers() {
        match holder(container, variable)? {
            Some(holder) => holders.push(holder),
            None if container.may_take_from_env_from(variable) => unseen.push(container.name()),
            None => {}
        }
    }
    if holders.is_empty() {
        return Err(no_variable(pod, variable, unseen.first().copied()));
    }
    let notes = unseen.iter().map(|name| format!("{name}: {}", SkipReason::EnvFrom.as_str())).collect();
    Ok((holders, notes))
}

/// Why no container has the variable.
pub(super) fn no_variable(pod: Pod<'_>, variable: &str, env_from: Option<&str>) -> Skip {
    let host = |container: &Container<'_>| {
        ["PGHOST", "PGHOSTADDR", "PGSERVICE"].iter().any(|name| container.variable(name).next().is_some())
    };
    if let Some(container) = env_from {
        return SkipReason::EnvFrom.because(format!("container {container:?} may take {variable} from envFrom"));
    }
    match pod.containers().find(host) {
        Some(container) => {
            let seen = format!("container {:?} has PGHOST or a relative, and not {variable}", container.name());
            SkipReason::PgHost.because(seen)
        }
        None => SkipReason::NoVariable.because(format!("no container has {variable}")),
    }
}

fn one_source<'p>(holders: &[Holder<'p>], variable: &str) -> Result<Source<'p>, Skip> {
    let mut holders = holders.iter();
    let Some(first) = holders.next() else {
        return Err(SkipReason::NoVariable.because(format!("no container has {variable}")));
    };
    match holders.find(|holder| holder.source != first.source) {
        None => Ok(first.source.clone()),
        Some(other) => {
            let names = (first.container.name(), other.container.name());
            let seen = format!("{variable} of containers {:?} and {:?} differs", names.0, names.1);
            Err(SkipReason::DifferentUrls.because(seen))
        }
    }
}
