//! `hermes profile port`: prints, writes and explains the port of a profile's gateway.

use hermes_core::agent::Address;
use hermes_core::config::{Place, PortPlace};
use hermes_core::settings;
use hermes_core::store::{Profile, StoreError};
use hermes_core::{Proc, ProfileName, listeners, process_lock};
use serde_json::{Value, json};

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Prints the port; writes it first if it is given, or if there is none.
pub(super) fn set(app: &App, name: &ProfileName, port: Option<u16>) -> Result<u8, CliError> {
    let profile = app.store().get(name)?;
    // A given port may repair a file that can't be parsed.
    let existing = match port {
        Some(_) => None,
        None => {
            let loaded = settings::load(&profile.home).map_err(StoreError::from)?;
            loaded.gateway.port.or_else(|| profile.port(&loaded.gateway))
        }
    };
    let (port, changes) = match existing {
        Some(port) => (port, None),
        None => {
            let (port, changes) = app.store().set_port(&profile, port)?;
            (port, Some(changes))
        }
    };
    if app.json {
        let written = changes.is_some();
        let changes: Vec<_> =
            changes.iter().flatten().map(|it| place(&it.key, &it.place, it.port)).collect();
        output::json(
            &json!({ "profile": name, "port": port, "written": written, "changes": changes }),
        )?;
    } else {
        output::line(port)?;
    }
    let Some(changes) = changes else { return Ok(exit::SUCCESS) };
    for change in &changes {
        output::message(change);
    }
    if changes.is_empty() {
        output::message("every place names it already");
    }
    for (other, _) in app.store().others_with(port, name)? {
        output::warning(format_args!(
            "port {port} is that of `{other}`, too: only one of the two gateways can be up"
        ));
    }
    output::message(format_args!(
        "a running gateway keeps its port until `hermes gateway restart {name}`"
    ));
    Ok(exit::SUCCESS)
}

/// Prints every place that names the port, and who else has the port. Places that disagree are no failure.
pub(super) fn explain(app: &App, name: &ProfileName) -> Result<u8, CliError> {
    let profile = app.store().get(name)?;
    let address = settings::address(&profile.home).map_err(StoreError::from)?;
    let loaded = settings::load(&profile.home);
    let fallback = loaded.as_ref().ok().and_then(|loaded| profile.port(&loaded.gateway));
    let port = address.effective_port().or(fallback);
    let others = match port {
        Some(port) => app.store().others_with(port, name)?,
        None => Vec::new(),
    };
    let listener = port.and_then(|port| Listener::of(&profile, port));
    if app.json {
        let mut places: Vec<_> =
            address.places.iter().map(|it| place(&it.key, &it.place, it.port)).collect();
        for (i, place) in places.iter_mut().enumerate() {
            place["wins"] = json!(i == 0);
        }
        let enabled_by = address.enabled_by.as_ref();
        let other = |(name, at): &(ProfileName, Option<PortPlace>)| {
            let mut view =
                at.as_ref().map_or_else(|| json!({}), |it| place(&it.key, &it.place, it.port));
            view["profile"] = json!(name);
            view
        };
        output::json(&json!({
            "profile": name,
            "port": port,
            "agree": !address.disagrees(),
            "places": places,
            "api_server": address.is_agents.then(|| json!({
                "enabled": address.is_enabled(),
                "by": enabled_by.map(|by| place(&by.key, &by.place, None)),
            })),
            "others": others.iter().map(other).collect::<Vec<_>>(),
            "listener": listener.map(|it| json!({ "process": it.title, "own": it.is_own })),
        }))?;
        return Ok(exit::SUCCESS);
    }
    describe(&address, port)?;
    for (other, at) in &others {
        let at = at.as_ref().map_or_else(
            || "its fallback port".to_owned(),
            |at| format!("`{}` in {}", at.key, shown(&at.place)),
        );
        output::line(format_args!("also     `{other}`: {at}"))?;
    }
    if let Some(Listener { title, is_own }) = listener {
        let whose = if is_own { "its gateway" } else { "not its gateway" };
        output::line(format_args!("listens  {title}, {whose}"))?;
    }
    if address.disagrees()
        && let Some(port) = port
    {
        output::warning(format_args!(
            "these places name different ports; `hermes profile port {name} {port}` writes one everywhere"
        ));
    }
    Ok(exit::SUCCESS)
}

fn describe(address: &Address, port: Option<u16>) -> Result<(), CliError> {
    output::line(format_args!("port     {}", output::or_dash(port)))?;
    if address.is_agents {
        let enabled = match &address.enabled_by {
            Some(by) => format!("enabled by `{}` in {}", by.key, shown(&by.place)),
            None => "disabled: the gateway listens on no port".to_owned(),
        };
        output::line(format_args!("server   {enabled}"))?;
    }
    let Some(first) = address.places.first() else {
        let source = port.map_or("no place names a port", |_| "the fallback port of `default`");
        return output::line(format_args!("source   {source}"));
    };
    for (i, place) in address.places.iter().enumerate() {
        let verdict = match i {
            0 => "wins",
            _ if place.port == first.port => "agrees",
            _ => "differs",
        };
        let named = place.port.map_or_else(|| "none".to_owned(), |port| port.to_string());
        let (key, at) = (&place.key, shown(&place.place));
        output::line(format_args!("{verdict:<7}  {named} by `{key}` in {at}"))?;
    }
    Ok(())
}

/// A process that listens on a port.
struct Listener {
    title: String,
    is_own: bool,
}

impl Listener {
    /// The one that listens on `port`; own if it is the gateway of `profile`, or was started by it.
    fn of(profile: &Profile, port: u16) -> Option<Self> {
        let proc = Proc::default();
        let listeners = listeners::on_port(&proc, port);
        if listeners.is_empty() {
            return None;
        }
        let pid = listeners::process(&proc, &listeners);
        let title = pid.map_or_else(|| "another user's process".to_owned(), |pid| proc.title(pid));
        let gateway = process_lock::holder(&profile.home.gateway_lock()).ok().flatten();
        let gateway = gateway.and_then(|holder| holder.pid);
        let is_own =
            pid.is_some_and(|pid| proc.ancestry(pid).iter().any(|it| Some(*it) == gateway));
        Some(Self { title, is_own })
    }
}

/// A file and the line in it.
fn shown(place: &Place) -> String {
    let line = place.at.map_or_else(String::new, |(line, _)| format!(" line {line}"));
    format!("`{}`{line}", place.path.display())
}

fn place(key: &str, place: &Place, port: Option<u16>) -> Value {
    let line = place.at.map(|(line, _)| line);
    json!({ "key": key, "file": place.path, "line": line, "port": port })
}
