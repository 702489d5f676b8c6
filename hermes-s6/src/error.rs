//! The errors of the service traits, as this crate makes them.

pub(crate) use hermes_core::failure::{
    corrupt, failed, of_lock, of_store, refused, timed_out, unreachable,
};
