//! The step of the demo in which a gateway is parked.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::stage::say;
use super::{Demo, Profile};

impl Demo {
    /// Breaks Bob's configuration, checks that the gateway is left alone and parked once it starts again, and repairs
    /// the configuration.
    pub(super) fn park(&self) -> Result<()> {
        let Profile { name, port } = &self.profiles[1];
        let path = self.home(name).join("config.yaml");
        let good = fs::read_to_string(&path).context("failed to read config.yaml")?;
        let bad = good.replace(&format!("port: {port}"), "port: high");
        ensure!(bad != good, "{name}'s config.yaml does not say `port: {port}`:\n{good}");
        say(format_args!("$ sed -i 's/port: {port}/port: high/' {}", path.display()));
        fs::write(&path, bad).context("failed to write config.yaml")?;
        let running = self.stage.gateway(name)?.ready_pid()?;
        self.stage.show_ending(&["gateway", "restart", name], 1)?;
        let left = self.stage.gateway(name)?.ready_pid()?;
        ensure!(left == running, "{name} was restarted with a wrong configuration");
        self.stage.show(&["gateway", "stop", name])?;
        self.stage.show_ending(&["gateway", "start", name], 1)?;
        self.stage.show_ending(&["gateway", "status", name], 3)?;
        let gateway = self.stage.gateway(name)?;
        ensure!(gateway.state == "parked", "{name} is not parked: {gateway:?}");
        ensure!(gateway.intent == "running", "parking changed the intent of {name}: {gateway:?}");

        say(format_args!("$ sed -i 's/port: high/port: {port}/' {}", path.display()));
        fs::write(&path, good).context("failed to write config.yaml")?;
        self.stage.show(&["gateway", "start", name])?;
        self.stage.gateway(name)?.ready_pid()?;
        Ok(())
    }
}
