//! Completes or undoes renames that a crash interrupted.

use std::path::Path;
use std::time::Duration;

use super::Supervisor;
use crate::error_chain::in_one_line;
use crate::intent::Intent;
use crate::lock::LockError;
use crate::name::ProfileName;
use crate::reconcile::{Action, Outcome};
use crate::store::{Interrupted, Settled, StoreError};

impl Supervisor {
    /// Completes or undoes interrupted renames, and reports each, and each invalid journal. Does not touch a rename
    /// that another process executes.
    pub(super) fn settle_renames(&self) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes = Vec::new();
        for Interrupted { path, names } in self.store.interrupted_renames()? {
            let (from, to) = match names {
                Ok(names) => names,
                Err(reason) => {
                    outcomes.push(self.outcome(unreadable(&path, &reason), None));
                    continue;
                }
            };
            match self.store.settle_rename(&from, &to, Duration::ZERO) {
                Ok(None) | Err(StoreError::Lock(LockError::Busy { .. })) => {}
                Ok(Some(Settled::Finished { left })) => {
                    let left = left.map_or_else(String::new, |left| {
                        format!("; its older logs stay in `{}`", left.display())
                    });
                    outcomes.push(self.outcome(finish(&from, &to, &left), None));
                }
                Ok(Some(Settled::Undone)) => outcomes.push(self.outcome(undo(&from, &to), None)),
                Err(error) => {
                    let action = self.expected(&from, &to);
                    outcomes.push(self.outcome(action, Some(in_one_line(&error))));
                }
            }
        }
        Ok(outcomes)
    }

    /// What [`settle_renames`](Self::settle_renames) would do now. Changes nothing.
    pub(crate) fn plan_renames(&self) -> Result<Vec<Action>, StoreError> {
        let action = |Interrupted { path, names }| match names {
            Ok((from, to)) => self.expected(&from, &to),
            Err(reason) => unreadable(&path, &reason),
        };
        Ok(self.store.interrupted_renames()?.into_iter().map(action).collect())
    }

    fn expected(&self, from: &ProfileName, to: &ProfileName) -> Action {
        match self.store.root().profile(from).path().exists() {
            true => undo(from, to),
            false => finish(from, to, ""),
        }
    }

    fn outcome(&self, action: Action, error: Option<String>) -> Outcome {
        let home = action.profile().map(|profile| self.store.root().profile(profile));
        let prior = home.and_then(|home| Intent::read(&home).ok());
        Outcome { action, prior, error }
    }
}

fn finish(from: &ProfileName, to: &ProfileName, more: &str) -> Action {
    Action::FinishRename { profile: to.clone(), detail: format!("it was `{from}`{more}") }
}

fn undo(from: &ProfileName, to: &ProfileName) -> Action {
    Action::UndoRename { profile: from.clone(), detail: format!("it was to be `{to}`") }
}

fn unreadable(journal: &Path, reason: &str) -> Action {
    let detail = format!("no journal of a rename: {reason}");
    Action::Unreadable { what: journal.display().to_string(), detail }
}
