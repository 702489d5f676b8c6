//! The checks of systemd and of the installed units.

use hermes_core::agent::Locks;
use hermes_core::detect;
use hermes_core::diagnostics::{Check, Examination, Remedy, Snapshot};

use super::unit::{GENERATION, Mark};
use super::{Scope, Systemd};

impl Systemd {
    pub(super) fn checks(&self, snapshot: &Snapshot) -> Examination {
        let mut backend = vec![self.manager()];
        if self.scope == Scope::User {
            backend.push(self.lingering());
        }
        backend.extend([self.unit(), self.units(snapshot), self.kept_journal()]);
        Examination { backend, ..Examination::default() }
    }

    fn manager(&self) -> Check {
        let (name, socket) = (&self.setup.account.name, self.places.socket.display());
        let mut check = Check::new("systemd");
        if self.scope == Scope::System {
            return check.with_evidence("the system's manager has the units");
        }
        if detect::answers(&self.places.socket) {
            return check.with_evidence(format!("the manager of `{name}` answers at `{socket}`"));
        }
        check.error(
            format!("no systemd manager of `{name}` runs"),
            Remedy::Root(self.begin_manager()),
        );
        check.with_evidence(format!("nothing answers at `{socket}`"))
    }

    fn lingering(&self) -> Check {
        let name = &self.setup.account.name;
        let mut check = Check::new("linger");
        if self.places.linger.exists() {
            return check.with_evidence(format!("`{name}` lingers"));
        }
        let problem = format!(
            "`{name}` does not linger: its gateways end with its last session, and don't come up \
             with the machine"
        );
        check.warning(problem, Remedy::Root(format!("loginctl enable-linger {name}")));
        check.with_evidence(format!("`{}` does not exist", self.places.linger.display()))
    }

    fn unit(&self) -> Check {
        let path = self.template();
        let path = path.display();
        let mut check = Check::new("unit");
        let again = || Remedy::Run(self.command("gateway install --all"));
        match self.mark() {
            Err(error) => return check.with_evidence(format!("`{path}` can't be read: {error}")),
            Ok(None) if self.installed().unwrap_or_default().is_empty() => {
                return check.with_evidence("no gateway is installed");
            }
            Ok(None) => check.error(format!("`{path}` is not there"), again()),
            Ok(Some(None)) => check.error(
                format!("`{path}` was not written by hermes"),
                Remedy::Do("move it away".to_owned()),
            ),
            Ok(Some(Some(Mark { home, .. }))) if home != self.store.root().path() => {
                let (theirs, ours) = (home.display(), self.store.root().path().display());
                check.error(
                    format!("`{path}` runs the gateways of `{theirs}`, not those of `{ours}`"),
                    Remedy::Do(format!("HERMES_HOME={theirs} means the other one")),
                );
            }
            Ok(Some(Some(Mark { generation, .. }))) if generation != GENERATION => check.warning(
                format!("`{path}` is of generation {generation}, and this is {GENERATION}"),
                again(),
            ),
            Ok(Some(Some(_))) => {}
        }
        check.with_evidence(format!("`{path}` is of generation {GENERATION}"))
    }

    /// Checks that wanted gateways are installed, that installed units have a profile, and its limits.
    fn units(&self, snapshot: &Snapshot) -> Check {
        let installed = self.installed().unwrap_or_default();
        let mut check = Check::new("installed");
        for name in installed.iter().filter(|name| snapshot.is_gone(name)) {
            check.warning(
                format!("the gateway of `{name}` is installed, and there is no such profile"),
                Remedy::Run(self.command(&format!("gateway uninstall {name}"))),
            );
        }
        let locks = Locks::default();
        for gateway in &snapshot.gateways {
            let name = gateway.name();
            // One that runs outside of any supervisor is another check's.
            let is_missing = snapshot.is_to_run(name) && !installed.contains(name);
            if is_missing && gateway.foreign(&locks, None).is_none() {
                check.error(
                    format!("the gateway of `{name}` is wanted and not installed"),
                    Remedy::Run(self.command(&format!("gateway install {name}"))),
                );
            }
        }
        for gateway in snapshot.gateways.iter().filter(|one| installed.contains(one.name())) {
            let name = gateway.name();
            match self.has_limits(gateway) {
                Ok(true) => {}
                Ok(false) => check.warning(
                    format!("the unit of `{name}` has not the limits of its `gateway.resources`"),
                    Remedy::Run(self.command(&format!("gateway install {name}"))),
                ),
                Err(error) => check.partial(error.to_string()),
            }
        }
        check.with_evidence(format!(
            "{} of {} profiles installed",
            installed.len(),
            snapshot.gateways.len()
        ))
    }

    fn kept_journal(&self) -> Check {
        let path = self.places.journal.display();
        let mut check = Check::new("journal");
        if self.places.journal.is_dir() {
            return check.with_evidence(format!("kept in `{path}`"));
        }
        check.warning(
            "the journal is kept until the machine restarts, and for root to read: `hermes gateway \
             logs` may find nothing",
            Remedy::Root(format!("mkdir -p {path} && systemctl restart systemd-journald")),
        );
        check.with_evidence(format!("`{path}` does not exist"))
    }

    /// A command of `hermes` for this manager, which may have been detected and not named by an option.
    fn command(&self, command: &str) -> String {
        match self.scope {
            Scope::User => format!("hermes {command}"),
            Scope::System => format!("hermes --system {command}"),
        }
    }
}
