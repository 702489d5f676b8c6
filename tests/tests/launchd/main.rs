//! The launchd backend and the whole of `hermes` over it, against a launchctl that does as launchctl(1) and
//! launchd.plist(5) say: it starts jobs, starts them again and ends them for real. No test here has ever
//! been run on a Mac.

mod faults;
mod lifecycle;
mod mac;
mod profiles;
mod suite;
