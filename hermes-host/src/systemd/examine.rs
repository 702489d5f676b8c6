//! What gateways under systemd need of the machine, each with the command that mends it.

use hermes_core::Intent;
use hermes_core::detect;
use hermes_core::diagnostics::{Examination, Finding, Remedy};

use super::unit::{GENERATION, Mark};
use super::{Scope, Systemd};

impl Systemd {
    pub(super) fn look_around(&self) -> Vec<Examination> {
        let mut all = vec![self.manager()];
        if self.scope == Scope::User {
            all.push(self.lingering());
        }
        all.extend([self.unit(), self.units(), self.kept_journal()]);
        all
    }

    fn manager(&self) -> Examination {
        let (name, socket) = (&self.setup.account.name, self.places.socket.display());
        let mut found = Examination {
            check: "systemd",
            evidence: match self.scope {
                Scope::User => format!("the manager of `{name}` answers at `{socket}`"),
                Scope::System => "the system's manager has the units".to_owned(),
            },
            findings: Vec::new(),
        };
        if self.scope == Scope::User && !detect::answers(&self.places.socket) {
            found.evidence = format!("nothing answers at `{socket}`");
            found.findings.push(Finding {
                severe: true,
                problem: format!("no systemd manager of `{name}` runs"),
                remedy: Remedy::Root(self.begin_manager()),
            });
        }
        found
    }

    fn lingering(&self) -> Examination {
        let name = &self.setup.account.name;
        let lingers = self.places.linger.exists();
        let finding = Finding {
            severe: false,
            problem: format!(
                "`{name}` does not linger: its gateways end with its last session, and don't come up \
                 with the machine"
            ),
            remedy: Remedy::Root(format!("loginctl enable-linger {name}")),
        };
        Examination {
            check: "linger",
            evidence: match lingers {
                true => format!("`{name}` lingers"),
                false => format!("there is no `{}`", self.places.linger.display()),
            },
            findings: if lingers { Vec::new() } else { vec![finding] },
        }
    }

    fn unit(&self) -> Examination {
        let path = self.template();
        let mut found = Examination {
            check: "unit",
            evidence: format!("`{}` is of generation {GENERATION}", path.display()),
            findings: Vec::new(),
        };
        let mut wrong = |severe, problem, remedy| {
            found.findings.push(Finding { severe, problem, remedy });
        };
        let installed = self.installed().unwrap_or_default();
        let again = || Remedy::Run(self.command("gateway install --all"));
        match self.mark() {
            Err(error) => found.evidence = format!("`{}` can't be read: {error}", path.display()),
            Ok(None) if installed.is_empty() => {
                "no gateway is installed".clone_into(&mut found.evidence)
            }
            Ok(None) => wrong(true, format!("`{}` is not there", path.display()), again()),
            Ok(Some(None)) => {
                let problem = format!("`{}` was not written by hermes", path.display());
                wrong(true, problem, Remedy::Do("move it away".to_owned()));
            }
            Ok(Some(Some(Mark { home, .. }))) if home != self.store.root().path() => {
                let (path, theirs) = (path.display(), home.display());
                let ours = self.store.root().path().display();
                let problem =
                    format!("`{path}` runs the gateways of `{theirs}`, not those of `{ours}`");
                wrong(
                    true,
                    problem,
                    Remedy::Do(format!("HERMES_HOME={theirs} means the other one")),
                );
            }
            Ok(Some(Some(Mark { generation, .. }))) if generation != GENERATION => {
                let path = path.display();
                let problem =
                    format!("`{path}` is of generation {generation}, and this is {GENERATION}");
                wrong(false, problem, again());
            }
            Ok(Some(Some(_))) => {}
        }
        found
    }

    /// Whether what is wanted is installed, and what is installed is there.
    fn units(&self) -> Examination {
        let installed = self.installed().unwrap_or_default();
        let profiles = self.store.list().map(|listing| listing.profiles).unwrap_or_default();
        let mut findings = Vec::new();
        for name in &installed {
            if !profiles.iter().any(|profile| profile.name == *name) {
                findings.push(Finding {
                    severe: false,
                    problem: format!(
                        "the gateway of `{name}` is installed, and there is no such profile"
                    ),
                    remedy: Remedy::Run(self.command(&format!("gateway uninstall {name}"))),
                });
            }
        }
        for profile in &profiles {
            let name = &profile.name;
            let wanted = Intent::read(&profile.home).is_ok_and(|intent| intent == Intent::Running);
            if wanted && !installed.contains(name) {
                findings.push(Finding {
                    severe: true,
                    problem: format!("the gateway of `{name}` is wanted and not installed"),
                    remedy: Remedy::Run(self.command(&format!("gateway install {name}"))),
                });
            }
        }
        let evidence = format!("{} of {} profiles installed", installed.len(), profiles.len());
        Examination { check: "installed", evidence, findings }
    }

    fn kept_journal(&self) -> Examination {
        let path = self.places.journal.display();
        let is_kept = self.places.journal.is_dir();
        let finding = Finding {
            severe: false,
            problem:
                "the journal is kept until the machine restarts, and for root to read: `hermes \
                      gateway logs` may find nothing"
                    .to_owned(),
            remedy: Remedy::Root(format!("mkdir -p {path} && systemctl restart systemd-journald")),
        };
        Examination {
            check: "journal",
            evidence: if is_kept {
                format!("kept in `{path}`")
            } else {
                format!("there is no `{path}`")
            },
            findings: if is_kept { Vec::new() } else { vec![finding] },
        }
    }

    fn command(&self, command: &str) -> String {
        match self.scope {
            Scope::User => format!("hermes {command}"),
            Scope::System => format!("hermes --system {command}"),
        }
    }
}
