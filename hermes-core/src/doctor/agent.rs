//! Checks the Python agent's program: where the services find it, and its version.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::agent::{self, NoProgram, Places, Program};
use crate::config::GatewayConfig;
use crate::diagnostics::{Check, Examination, Remedy, several};
use crate::gateway::Gateway;
use crate::home::env;

/// The agents' programs.
pub(super) struct Agents<'a> {
    examination: &'a Examination,
    /// Each program with the number of gateways that run it.
    found: BTreeMap<PathBuf, (Program, usize)>,
}

impl<'a> Agents<'a> {
    /// Finds programs in the environment of the services.
    pub(super) fn new(examination: &'a Examination) -> Self {
        Self { examination, found: BTreeMap::new() }
    }

    /// Looks for the program of `gateway`.
    pub(super) fn check(&mut self, gateway: &Gateway, settings: &GatewayConfig, check: &mut Check) {
        let Examination { path, agent, user_home, .. } = self.examination;
        let places = Places {
            configured: settings.program.as_deref(),
            variable: agent.clone(),
            home: Some(gateway.home()),
            user_home: user_home.clone(),
            path: path.clone(),
        };
        let (name, config) = (gateway.name(), gateway.home().config());
        let missing = match agent::find(&places) {
            Ok(program) => {
                let entry = self.found.entry(program.path.clone());
                entry.or_insert((program, 0)).1 += 1;
                return;
            }
            Err(missing) => missing,
        };
        let config = config.display();
        match missing {
            NoProgram::Nowhere if path.is_none() => {
                check.partial(format!(
                    "PATH of the services can't be read, to find the agent of `{name}`"
                ));
            }
            NoProgram::Nowhere => {
                let variable = env::AGENT;
                let remedy = format!(
                    "name its program, with the full path, as `gateway.program` in `{config}`, or in {variable} of the tree"
                );
                let problem = format!("the Python agent that `{name}` runs was found nowhere");
                check.error(problem, Remedy::Do(remedy));
            }
            unusable @ NoProgram::Unusable { name: key, .. } => {
                let remedy = format!("correct {key} (`{config}`)");
                check.error(
                    format!("the Python agent of `{name}` can't be run: {unusable}"),
                    Remedy::Do(remedy),
                );
            }
        }
    }

    /// The programs with their versions.
    pub(super) fn evidence(&self) -> Option<String> {
        let programs = self.found.values().map(|(program, gateways)| {
            let version = program.version.as_deref().unwrap_or("of an unknown version");
            let untried = if program.is_tried() { "" } else { ", untried with this Hermes" };
            let (path, found) = (program.path.display(), program.found);
            let gateways = several(*gateways, "gateway");
            format!("hermes-agent {version}{untried} of {gateways}: `{path}` ({found})")
        });
        let programs: Vec<_> = programs.collect();
        (!programs.is_empty()).then(|| programs.join(", "))
    }
}
