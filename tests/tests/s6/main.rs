//! Gateways under a tree of `hermes up`, as any user, without an image or a host's service manager.

mod suite;
