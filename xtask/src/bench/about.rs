//! Facts about a measurement: the machine, the versions, the load.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Result;
use xshell::{Shell, cmd};

use super::supervisord::REQUIREMENT;

/// The facts that are known before the measurement, by name.
pub(super) fn facts(
    shell: &Shell,
    runs: usize,
    peer: bool,
) -> Result<BTreeMap<&'static str, String>> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let processors = std::thread::available_parallelism()?;
    let commit = cmd!(shell, "git rev-parse --short HEAD").read()?;
    let changed = !cmd!(shell, "git status --porcelain -- hermes-core hermes-s6 hermes-cli")
        .read()?
        .is_empty();
    let mut facts = BTreeMap::from([
        ("processors", format!("{processors} × {}", model.trim_matches([' ', '\t', ':']))),
        ("kernel", rustix::system::uname().release().to_string_lossy().into_owned()),
        ("commit", if changed { format!("{commit} and changes") } else { commit }),
        ("compiler", cmd!(shell, "rustc --version").read()?),
        ("date", cmd!(shell, "date -u +%F").read()?),
        ("samples", format!("medians of {runs}")),
        ("load before", load()),
    ]);
    // s6's programs print no version, so only dpkg knows it.
    let s6 = shell.cmd("dpkg-query").args(["-W", "-f", "${Version}", "s6"]).ignore_stderr().read();
    facts.extend(s6.ok().map(|version| ("s6", version)));
    facts.extend(peer.then(|| ("Python", crate::agent::REQUIREMENTS.join(", "))));
    facts.extend(peer.then(|| ("supervisord", REQUIREMENT.to_owned())));
    Ok(facts)
}

/// The load average of the last minute.
pub(super) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
