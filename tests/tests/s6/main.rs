//! Gateways under s6 as any user has it: a tree that `hermes up` runs, without an image or a host's
//! service manager around it.

mod suite;
