//! What a test has the server do wrong.

use super::failure::Failure;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 429, with `Retry-After` of so many seconds.
    TooManyRequests(u32),
    /// 410, as when a version or a page is not kept any more.
    Gone,
    /// 404, as the node of a Pod answers that does not know of it yet, or any more.
    UnknownPod,
    /// 500.
    Internal,
    /// 503.
    Unavailable,
    /// It is never answered, and has no effect.
    Hang,
    /// The connection is closed without an answer, and the request has no effect.
    Close,
    /// The connection is closed without an answer, after the request took effect.
    CloseAfter,
}

impl Fault {
    /// The answer; `None` of a fault that is none.
    pub(super) fn failure(self) -> Option<Failure> {
        match self {
            Self::TooManyRequests(seconds) => Some(Failure::too_many_requests(seconds)),
            Self::Gone => Some(Failure::expired("The provided continue parameter is too old")),
            Self::UnknownPod => Some(Failure::no_resource()),
            Self::Internal => Some(Failure::internal()),
            Self::Unavailable => Some(Failure::unavailable()),
            Self::Hang | Self::Close | Self::CloseAfter => None,
        }
    }
}

/// The faults that are due.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Due>);

#[derive(Debug)]
struct Due {
    verb: String,
    resource: String,
    fault: Fault,
    times: usize,
}

impl Faults {
    pub(super) fn add(&mut self, verb: &str, resource: &str, fault: Fault, times: usize) {
        let (verb, resource) = (verb.to_owned(), resource.to_owned());
        self.0.push(Due { verb, resource, fault, times });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What becomes of this request, if it is not just answered.
    pub(super) fn take(&mut self, verb: &str, resource: &str) -> Option<Fault> {
        let matches = |given: &str, actual: &str| given == "*" || given == actual;
        let due = self.0.iter_mut().find(|due| {
            due.times > 0 && matches(&due.verb, verb) && matches(&due.resource, resource)
        })?;
        due.times -= 1;
        Some(due.fault)
    }
}
