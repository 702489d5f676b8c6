//! Which profiles a gateway of the agent's serves: its own, or several ("multiplex").
//!
//! The gateway records them in `gateway_state.json` before it calls itself started. A file outlives its gateway, and the
//! next one keeps the keys that it does not write: so the process that runs must be the recorded one, and the list is
//! removed before each start. (hermes-agent 0.19.0: `gateway/status.py`, `gateway/run.py`.)

use std::collections::BTreeSet;
use std::io;

use serde_json::{Map, Value};

use super::{Locks, State};
use crate::fsutil;
use crate::home::ProfileHome;
use crate::name::ProfileName;
use crate::proc::Proc;

/// The key of the list.
const LIST: &str = "served_profiles";

/// What the gateway at a home serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// It does not run.
    Down,
    /// It runs, and has not recorded yet what it serves.
    Unrecorded,
    /// It runs and serves its own profile and these others.
    Others(BTreeSet<ProfileName>),
}

impl Served {
    /// What the gateway at `home` serves now.
    pub fn of(locks: &Locks, home: &ProfileHome) -> Self {
        let Some(pid) = locks.holder(home) else { return Self::Down };
        let state = State::read(home).ok().flatten();
        let Some(state) = state.filter(|state| state.has_started() && is_of(state, pid)) else {
            return Self::Unrecorded;
        };
        let names = state.served_profiles.iter().filter_map(|name| name.parse().ok());
        Self::Others(names.filter(|name| name != home.profile()).collect())
    }
}

/// Whether the process `pid` wrote the file.
fn is_of(state: &State, pid: u32) -> bool {
    let proc = Proc::default();
    let own = proc.own_pid(pid).unwrap_or(pid);
    // Without a start time on one side the ID decides.
    let times = state.start_time.zip(proc.start_time(pid).ok());
    state.pid == Some(own) && times.is_none_or(|(recorded, now)| recorded == now)
}

/// Removes the list of an earlier gateway, which does not run any more, from the state at `home`. Keeps the other keys.
pub fn forget(home: &ProfileHome) -> io::Result<()> {
    let path = home.agent_state();
    let Some(bytes) = fsutil::read_if_there(&path)? else { return Ok(()) };
    let Ok(mut state) = serde_json::from_slice::<Map<String, Value>>(&bytes) else { return Ok(()) };
    match state.remove(LIST) {
        Some(_) => fsutil::write_durably(&path, Value::Object(state).to_string().as_bytes(), 0o600),
        None => Ok(()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use fs_err as fs;
    use serde_json::json;

    use super::*;
    use crate::RootHome;

    #[test]
    fn only_the_running_gateways_own_list_counts() {
        let dir = tempfile::tempdir().unwrap();
        let home = RootHome::new(dir.path()).profile(&ProfileName::default_profile());
        let me = std::process::id();
        let started = Proc::default().start_time(me).unwrap();
        let write = |pid: u32, time: Option<u64>, state: &str| {
            let state = json!({
                "kind": "hermes-gateway", "pid": pid, "start_time": time, "gateway_state": state,
                "served_profiles": ["default", "coder", "Not a name"],
            });
            fs::write(home.agent_state(), state.to_string()).unwrap();
        };
        let served = || Served::of(&Locks::default(), &home);
        write(me, Some(started), "running");
        assert_eq!(served(), Served::Down, "nobody holds the lock");
        let lock = fs::File::create(home.agent_lock()).unwrap();
        lock.file().lock().unwrap();
        let coder = Served::Others(BTreeSet::from(["coder".parse().unwrap()]));
        assert_eq!(served(), coder);
        for (pid, time, state) in [
            (me, Some(started + 1), "running"),
            (me + 1, Some(started), "running"),
            (me, Some(started), "starting"),
        ] {
            write(pid, time, state);
            assert_eq!(served(), Served::Unrecorded, "{pid} {time:?} {state}");
        }
        write(me, None, "degraded");
        assert_eq!(served(), coder);
        forget(&home).unwrap();
        assert_eq!(served(), Served::Others(BTreeSet::new()));
        let kept: Value = serde_json::from_slice(&fs::read(home.agent_state()).unwrap()).unwrap();
        assert_eq!((&kept["pid"], &kept["gateway_state"]), (&json!(me), &json!("degraded")));
    }
}
