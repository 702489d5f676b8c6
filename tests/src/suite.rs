//! The conformance suite: what every service manager owes the operator of a gateway, from its start to the
//! deletion of its profile. Written once, and run against s6, the image, systemd, launchd and the backend of an
//! example.
//!
//! # Running it against a backend of your own
//!
//! Everything is asked through the program `hermes`, so build one with your backend in it. Then implement
//! [`Machine`] for the place where your service manager runs, and let [`lifecycle_suite!`](crate::lifecycle_suite)
//! make the tests, each with a machine of its own. `tests/tests/custom_backend/` does so for the backend of
//! `hermes-cli/examples/custom_backend.rs`; in short:
//!
//! ```no_run
//! use hermes_tests::suite::Machine;
//! use hermes_tests::{Hermes, TestEnv, free_port, lifecycle_suite};
//!
//! /// A temporary home, and a service manager that runs for it.
//! struct MyMachine(TestEnv);
//!
//! impl Machine for MyMachine {
//!     fn hermes(&self, args: &[&str]) -> Hermes {
//!         self.0.hermes(args.iter().copied())
//!     }
//!     fn shell(&self, script: &str) -> Hermes {
//!         self.0.shell(script)
//!     }
//!     fn home(&self) -> String {
//!         self.0.home().display().to_string()
//!     }
//!     fn restart(&mut self) {
//!         // End the service manager with all that it supervises, and start it again.
//!     }
//!     fn service_files(&self, profile: &str) -> Vec<String> {
//!         let file = self.0.path().join("services").join(profile);
//!         file.exists().then(|| file.display().to_string()).into_iter().collect()
//!     }
//!     fn rendered(&self, profile: &str) -> String {
//!         std::fs::read_to_string(&self.service_files(profile)[0]).expect("a service file")
//!     }
//!     fn port(&self) -> Option<u16> {
//!         Some(free_port())
//!     }
//! }
//!
//! lifecycle_suite!(MyMachine(TestEnv::new()));
//! ```
//!
//! The tests need a POSIX shell, `grep` and `setsid`, and the /proc of Linux. One fails with what `hermes`
//! printed.

pub mod cases;
pub mod cluster_cases;
mod machine;
pub mod tree_cases;

pub use cluster_cases::Cluster;
pub use machine::Machine;

/// Makes a test of each function in [`cases`], on a machine of its own: `lifecycle_suite!(expression)`,
/// where the expression makes a [`Machine`].
#[macro_export]
macro_rules! lifecycle_suite {
    ($machine:expr) => {
        $crate::suite_tests! { cases, $machine;
            start_waits_for_readiness
            a_silent_gateway_is_started_after_a_second
            start_waits_for_the_ready_url
            a_dead_gateway_restarts
            restart_gives_a_new_process
            stop_waits_for_the_end
            a_deaf_gateway_is_killed_in_its_stop_budget
            wrong_configuration_parks
            a_crash_loop_parks
            intent_outlives_a_reboot
            delete_leaves_nothing
            rename_moves_the_service
            a_failed_rename_is_undone
            an_orphan_is_reported_and_ended
            a_port_has_one_gateway
            no_secret_is_rendered
        }
    };
}

/// The same of each function in [`tree_cases`]: what `hermes up` owes beyond that, on a host and as the main program of
/// the image.
#[macro_export]
macro_rules! tree_suite {
    ($machine:expr) => {
        $crate::suite_tests! { tree_cases, $machine;
            what_is_wanted_comes_back
            what_other_programs_change_is_followed
            what_a_dead_gateway_leaves_is_ended
            a_suspended_supervisor_is_resumed
            a_gateway_that_hangs_is_unhealthy
        }
    };
}

/// The same of each function in [`cluster_cases`] that every cluster can run.
#[macro_export]
macro_rules! cluster_suite {
    ($cluster:expr) => {
        $crate::suite_tests! { cluster_cases, $cluster;
            a_deleted_pod_is_followed_by_another
            a_stopped_gateway_has_no_pod
            a_boot_follows_the_intents
            default_has_no_pod
            logs_are_followed_over_restarts
            no_command_follows_a_link_out_of_a_profile
        }
    };
}

/// Makes a test of each named function of a module here.
#[doc(hidden)]
#[macro_export]
macro_rules! suite_tests {
    ($module:ident, $machine:expr; $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::suite::$module::$name(&mut $machine);
            }
        )*
    };
}
