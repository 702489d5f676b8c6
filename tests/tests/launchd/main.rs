//! `hermes` with the launchd backend, against a launchctl that follows launchctl(1) and launchd.plist(5): it
//! really starts, restarts and ends jobs. No test here has ever run on a Mac.

mod faults;
mod lifecycle;
mod mac;
mod profiles;
mod suite;
