//! The settings of a profile's gateway: its `config.yaml`, the root home's defaults, and what its home is.
//!
//! Later sources give way to earlier ones:
//!
//! 1. our keys in the profile's `config.yaml`;
//! 2. `gateway.defaults` in the root home's;
//! 3. on a home of the Python agent, the keys that [`agent`] fills in;
//! 4. the [`Surroundings`] of the gateway's process;
//! 5. the defaults of [`GatewayConfig`](crate::config::GatewayConfig).

use std::path::{Path, PathBuf};

use crate::agent::{self, Address};
use crate::config::{self, AgentKeys, ConfigError, Draft, GatewayKind, Loaded, Origin};
use crate::dotenv::{self, Dotenv};
use crate::home::ProfileHome;

/// What the process of a gateway has to know that runs where the profile's files do not say it: in a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The address to listen on if the profile names none.
    pub host: Option<String>,
    /// The file whose `gateway.defaults` count; the root home's if `None`.
    pub defaults: Option<PathBuf>,
}

impl Surroundings {
    /// The file with `gateway.defaults` for the profile at `home`.
    fn defaults(&self, home: &ProfileHome) -> PathBuf {
        self.defaults.clone().unwrap_or_else(|| home.root_config())
    }
}

/// Reads the settings of the profile at `home`. A missing file sets nothing. Does not block on a FIFO.
pub fn load(home: &ProfileHome) -> Result<Loaded, ConfigError> {
    load_from(home, &config::read(&home.config())?)
}

/// The same for a gateway in `surroundings`.
pub fn load_in(home: &ProfileHome, surroundings: &Surroundings) -> Result<Loaded, ConfigError> {
    load_text(home, &config::read(&home.config())?, surroundings)
}

/// The same as [`load`], if `text` were the content of `config.yaml`.
pub fn load_from(home: &ProfileHome, text: &str) -> Result<Loaded, ConfigError> {
    load_text(home, text, &Surroundings::default())
}

fn load_text(
    home: &ProfileHome,
    text: &str,
    surroundings: &Surroundings,
) -> Result<Loaded, ConfigError> {
    let (mut draft, keys) = draft(home, text, &surroundings.defaults(home))?;
    if let Some(host) =
        surroundings.host.as_ref().filter(|_| !draft.origins.keys.contains_key("host"))
    {
        draft.gateway.host.clone_from(host);
        draft.origins.keys.insert("host", Origin::Surroundings);
    }
    if let Some(keys) = keys {
        let address = Address::of_agents(home, &keys, &draft, &dotenv_of(home));
        agent::apply(home, address, &mut draft)?;
    }
    draft.finish()
}

/// Where the gateway of the profile at `home` listens, with every place that names its port, although they may disagree.
pub fn address(home: &ProfileHome) -> Result<Address, ConfigError> {
    address_in(home, &config::read(&home.config())?, &dotenv_of(home))
}

/// The same, if `text` were the content of `config.yaml`, and `dotenv` that of `.env`.
pub(crate) fn address_in(
    home: &ProfileHome,
    text: &str,
    dotenv: &Dotenv,
) -> Result<Address, ConfigError> {
    let (draft, keys) = draft(home, text, &home.root_config())?;
    Ok(match keys {
        Some(keys) => Address::of_agents(home, &keys, &draft, dotenv),
        None => Address::of_ours(&draft),
    })
}

fn dotenv_of(home: &ProfileHome) -> Dotenv {
    dotenv::load(&home.dotenv()).unwrap_or_default()
}

/// Our keys in `text`, the content of the profile's `config.yaml`, and what runs. With the agent's keys if they decide
/// the address. `defaults` is the file with those for every profile.
fn draft(
    home: &ProfileHome,
    text: &str,
    defaults: &Path,
) -> Result<(Draft, Option<AgentKeys>), ConfigError> {
    let path = home.config();
    let mut draft = config::draft(text, &path, defaults)?;
    let is_open = draft.kind.is_none() && draft.gateway.command.is_none();
    let chosen = draft.kind == Some(GatewayKind::HermesAgent);
    // A command of the user's own may run the agent, too.
    let runs_it = draft.gateway.env.contains_key(agent::PORT);
    if !(is_open || chosen || runs_it) {
        return Ok((draft, None));
    }
    let keys = AgentKeys::read(text, &path);
    if chosen || is_open && agent::owns(home, &keys) {
        draft.gateway.kind = GatewayKind::HermesAgent;
    }
    let decides = draft.gateway.kind == GatewayKind::HermesAgent || runs_it;
    Ok((draft, decides.then_some(keys)))
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;
    use crate::config::{GatewayConfig, Topology};
    use crate::{ProfileName, RootHome};

    struct Homes {
        _dir: tempfile::TempDir,
        root: ProfileHome,
        coder: ProfileHome,
    }

    impl Homes {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = RootHome::new(dir.path());
            let coder = root.profile(&"coder".parse().unwrap());
            fs::create_dir_all(coder.path()).unwrap();
            Self { _dir: dir, root: root.profile(&ProfileName::default_profile()), coder }
        }

        fn coder(&self, config: &str) -> Result<GatewayConfig, String> {
            fs::write(self.coder.config(), config).unwrap();
            load(&self.coder).map(|loaded| loaded.gateway).map_err(|error| {
                let root = self.root.path().to_str().unwrap();
                error.to_string().replace(root, "ROOT")
            })
        }

        fn dotenv(&self, text: &str) {
            fs::write(self.coder.dotenv(), text).unwrap();
        }
    }

    #[test]
    fn a_profile_wins_over_the_defaults_and_they_over_nothing() {
        let homes = Homes::new();
        let defaults = "gateway:\n  port: 1\n  defaults:\n    command: [shared]\n    host: ::1\n    env: {A: a, B: b}\n    \
                        resources: {memory: 1G}\n";
        fs::write(homes.root.config(), defaults).unwrap();
        let coder = homes.coder("gateway: {port: 2, host: '::2', env: {B: mine}}").unwrap();
        assert_eq!((coder.kind, coder.port, &*coder.host), (GatewayKind::Command, Some(2), "::2"));
        assert_eq!(coder.command, Some(vec!["shared".to_owned()]));
        let env: Vec<_> = coder.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["A=a", "B=mine"]);
        assert_eq!(coder.resources.memory, Some(1 << 30));
        let own = homes.coder("gateway: {kind: built-in, port: 2}").unwrap();
        assert_eq!((own.kind, own.command), (GatewayKind::BuiltIn, None), "one decision");
        let root = load(&homes.root).unwrap().gateway;
        assert_eq!((root.port, root.command.is_some()), (Some(1), true), "they hold for it, too");
        fs::write(homes.root.config(), "gateway: {port: 1}").unwrap();
        assert_eq!(homes.coder("").unwrap(), GatewayConfig::default(), "the file is read again");
    }

    #[test]
    fn wrong_defaults_are_an_error_of_every_profile_and_a_wrong_root_is_not() {
        let homes = Homes::new();
        for (defaults, problem) in [
            (
                "gateway: {defaults: {port: 5}}",
                "invalid `gateway.defaults` in `ROOT/config.yaml` line 1 column 22: has an unknown key `port`; the keys are",
            ),
            ("gateway: {defaults: x}", "must be a mapping, with lines like `kind: hermes-agent`"),
            (
                "gateway: {defaults: {kind: python}}",
                "invalid `gateway.defaults.kind` in `ROOT/config.yaml` line 1 column 28: must be",
            ),
            ("gateway: {defaults: {program: hermes}}", "must be an absolute path"),
            ("gateway: {defaults: {topology: both}}", "must be `isolated` or `shared`"),
            ("gateway: {defaults: {", "invalid YAML in `ROOT/config.yaml`"),
        ] {
            fs::write(homes.root.config(), defaults).unwrap();
            let error = homes.coder("gateway: {port: 2}").unwrap_err();
            assert!(error.contains(problem), "{defaults}: {error}");
        }
        for broken in ["gateway: {", "gateway: {port: x}"] {
            fs::write(homes.root.config(), broken).unwrap();
            assert_eq!(homes.coder("gateway: {port: 2}").unwrap().port, Some(2), "{broken}");
        }
        fs::write(homes.root.config(), "").unwrap();
        let error = homes.coder("gateway: {kind: built-in, command: [x]}").unwrap_err();
        assert!(error.contains("is `built-in`, but `gateway.command` names a program"), "{error}");
    }

    #[test]
    fn a_home_of_the_agents_runs_the_agent() {
        let write = |path: &Path, text: &str| fs::write(path, text).unwrap();
        let signs: [&dyn Fn(&Homes); 6] = [
            &|homes| write(&homes.coder.agent_state(), r#"{"kind":"hermes-gateway"}"#),
            &|homes| write(&homes.coder.config(), "_config_version: 33"),
            &|homes| write(&homes.coder.path().join("state.db"), ""),
            &|homes| write(&homes.root.path().join("state.db"), ""),
            &|homes| {
                fs::create_dir(homes.root.logs()).unwrap();
                write(&homes.root.logs().join("agent.log"), "");
            },
            &|homes| {
                for name in ["sessions", "skills"] {
                    fs::create_dir(homes.coder.path().join(name)).unwrap();
                }
            },
        ];
        for (i, sign) in signs.iter().enumerate() {
            let homes = Homes::new();
            assert_eq!(homes.coder("").unwrap().kind, GatewayKind::BuiltIn);
            sign(&homes);
            let coder = load(&homes.coder).unwrap().gateway;
            assert_eq!(coder.kind, GatewayKind::HermesAgent, "sign {i}");
            let command = coder.command.unwrap().join(" ");
            assert_eq!(command, "{program} -p {profile} gateway run --replace");
            assert_eq!((coder.port, coder.ready_url), (None, None), "no API server");
            assert_eq!(coder.env["GATEWAY_MULTIPLEX_PROFILES"], "false");
            let own = homes.coder("_config_version: 33\ngateway: {kind: built-in}").unwrap();
            assert_eq!(own.kind, GatewayKind::BuiltIn, "it was asked for");
            let own = homes.coder("gateway: {command: [mine]}").unwrap();
            assert_eq!(own.kind, GatewayKind::Command);
        }
    }

    #[test]
    fn the_preset_fills_in_what_is_not_set() {
        let homes = Homes::new();
        let coder = homes
            .coder("gateway: {kind: hermes-agent, topology: shared, env: {PYTHONUNBUFFERED: ''}}")
            .unwrap();
        assert_eq!((coder.topology, &*coder.env["PYTHONUNBUFFERED"]), (Topology::Shared, ""));
        assert_eq!(
            coder.env["GATEWAY_MULTIPLEX_PROFILES"], "false",
            "`default`'s alone may serve it"
        );
        homes.dotenv(
            "API_SERVER_KEY=0123456789abcdef\nAPI_SERVER_HOST=0.0.0.0\nAPI_SERVER_PORT=8650\n",
        );
        let coder = homes.coder("gateway: {kind: hermes-agent}").unwrap();
        assert_eq!((coder.port, &*coder.host), (Some(8650), "0.0.0.0"));
        assert_eq!(coder.ready_url.unwrap(), "http://{host}:{port}/health");
        assert!(!coder.env.contains_key("API_SERVER_HOST"), "the agent reads it itself");
        let coder =
            homes.coder("gateway: {kind: hermes-agent, command: [mine], host: '::1'}").unwrap();
        assert_eq!((coder.command.unwrap(), coder.port), (vec!["mine".to_owned()], Some(8650)));
        assert_eq!((&*coder.host, &*coder.env["API_SERVER_HOST"]), ("::1", "{host}"));
    }

    #[test]
    fn the_surroundings_have_the_defaults_where_the_root_home_is_out_of_sight() {
        let homes = Homes::new();
        let defaults = "gateway:\n  port: 1\n  defaults: {command: [a, '{port}'], env: {A: 'yes'}, resources: {cpu: 1.5}}\n";
        fs::write(homes.root.config(), defaults).unwrap();
        let expected = homes.coder("gateway: {port: 2}").unwrap();
        let path = homes.coder.path().join("defaults.yaml");
        fs::write(&path, config::defaults_alone(&homes.root.config()).unwrap()).unwrap();
        fs::remove_file(homes.root.config()).unwrap();
        let pod = Surroundings { host: None, defaults: Some(path) };
        assert_eq!(load_in(&homes.coder, &pod).unwrap().gateway, expected);
        assert_ne!(load(&homes.coder).unwrap().gateway, expected);
    }

    #[test]
    fn the_surroundings_name_a_host_where_no_file_does() {
        let homes = Homes::new();
        let pod = Surroundings { host: Some("10.0.0.5".to_owned()), defaults: None };
        let host = |config: &str| {
            fs::write(homes.coder.config(), config).unwrap();
            let config = load_in(&homes.coder, &pod).unwrap().gateway;
            (config.host, config.env.get("API_SERVER_HOST").cloned())
        };
        let (given, own) = ("10.0.0.5".to_owned(), "127.0.0.1".to_owned());
        let passed = Some("{host}".to_owned());
        assert_eq!(host("gateway: {port: 1}"), (given.clone(), None));
        assert_eq!(host("gateway: {host: 127.0.0.1}"), (own.clone(), None));
        let agent = "gateway: {kind: hermes-agent}";
        homes.dotenv("API_SERVER_KEY=0123456789abcdef\n");
        assert_eq!(host(agent), (given, passed.clone()));
        assert_eq!(host("gateway: {kind: hermes-agent, host: 127.0.0.1}"), (own.clone(), passed));
        homes.dotenv("API_SERVER_KEY=0123456789abcdef\nAPI_SERVER_HOST=127.0.0.1\n");
        assert_eq!(host(agent), (own.clone(), None), "the agent reads it itself");
        fs::write(homes.root.config(), "gateway: {defaults: {host: 127.0.0.1}}").unwrap();
        homes.dotenv("");
        assert_eq!(host(""), (own, None));
    }

    #[test]
    fn the_port_is_the_one_that_the_agent_takes() {
        const KEY: &str = "API_SERVER_KEY=0123456789abcdef\n";
        let extra = "platforms: {api_server: {enabled: true, extra: {port: 8651}}}\n";
        for (dotenv, config, port) in [
            ("", "gateway: {port: 8643}", Ok(Some(8643))),
            (KEY, "", Ok(None)),
            (KEY, "API_SERVER_PORT: 8652", Ok(Some(8652))),
            ("", extra, Ok(Some(8651))),
            ("API_SERVER_PORT=8651", extra, Ok(Some(8651))),
            (
                "API_SERVER_KEY=x\nAPI_SERVER_PORT=8650",
                "gateway: {port: 8643}",
                Err(
                    "different ports: 8650 by `API_SERVER_PORT` in `ROOT/profiles/coder/.env` line 2 column 1, 8643 by \
                     `gateway.port` in `ROOT/profiles/coder/config.yaml` line 2 column 17",
                ),
            ),
            (
                "API_SERVER_PORT=8650",
                extra,
                Err(
                    "different ports: 8651 by `platforms.api_server.extra.port` in `ROOT/profiles/coder/config.yaml` line 2 \
                     column 55, 8650 by `API_SERVER_PORT` in `ROOT/profiles/coder/.env` line 1 column 1",
                ),
            ),
            (
                "API_SERVER_KEY=x\nAPI_SERVER_PORT=",
                "gateway: {port: 8643}",
                Err(
                    "different ports: none by `API_SERVER_PORT` in `ROOT/profiles/coder/.env` line 2 column 1, 8643 by \
                     `gateway.port` in `ROOT/profiles/coder/config.yaml` line 2 column 17",
                ),
            ),
            // A variable of the gateway's own.
            (
                KEY,
                "gateway: {port: 8643, env: {API_SERVER_PORT: '8650'}}",
                Err(
                    "different ports: 8650 by `gateway.env.API_SERVER_PORT` in `ROOT/profiles/coder/config.yaml` line 2 \
                     column 46, 8643 by `gateway.port` in `ROOT/profiles/coder/config.yaml` line 2 column 17",
                ),
            ),
            (KEY, "gateway: {port: 8643, env: {API_SERVER_PORT: '{port}'}}", Ok(Some(8643))),
            // The agent falls back.
            ("API_SERVER_KEY=x\nAPI_SERVER_PORT=abc", "", Ok(Some(8642))),
            // It does not listen.
            ("API_SERVER_PORT=8650", "gateway: {port: 8643}", Ok(Some(8650))),
        ] {
            let homes = Homes::new();
            homes.dotenv(dotenv);
            let found = homes.coder(&format!("_config_version: 33\n{config}"));
            let found = found.map(|coder| coder.port);
            assert_eq!(found, port.map_err(str::to_owned), "{dotenv} {config}");
        }
    }

    #[test]
    fn an_address_is_explained_although_its_places_disagree() {
        let homes = Homes::new();
        homes.dotenv("API_SERVER_ENABLED=yes\nAPI_SERVER_PORT=abc\n");
        let extra = "platforms: {api_server: {extra: {port: 8651}}}";
        let config = format!("_config_version: 33\ngateway: {{port: 8643, {extra}}}\n{extra}\n");
        let error = homes.coder(&config).unwrap_err();
        assert!(error.starts_with("different ports: none by"), "{error}");
        let address = address(&homes.coder).unwrap();
        assert!(address.is_agents && address.disagrees());
        assert_eq!(address.enabled_by.as_ref().unwrap().key, "API_SERVER_ENABLED");
        let places = address.places.iter().map(|place| (&*place.key, place.port));
        assert_eq!(
            places.collect::<Vec<_>>(),
            [
                ("API_SERVER_PORT", None),
                ("gateway.port", Some(8643)),
                ("platforms.api_server.extra.port", Some(8651)),
                ("gateway.platforms.api_server.extra.port", Some(8651)),
            ]
        );
        assert_eq!(address.effective_port(), Some(8651), "the agent ignores the variable");
        let hint = load(&homes.coder).unwrap_err().hint().unwrap();
        assert_eq!(hint, "`hermes profile port coder 8651` writes one port everywhere");
    }

    #[test]
    fn default_has_its_fallback_port_if_it_listens() {
        let homes = Homes::new();
        let store = crate::Store::new(RootHome::new(homes.root.path()));
        let default = store.get(&ProfileName::default_profile()).unwrap();
        fs::write(default.home.config(), "_config_version: 33\n").unwrap();
        assert_eq!(store.port(&default).unwrap(), None, "its API server is disabled");
        fs::write(default.home.config(), "_config_version: 33\nAPI_SERVER_ENABLED: true").unwrap();
        assert_eq!(store.port(&default).unwrap(), Some(8642));
        fs::write(default.home.config(), "_config_version: 33\ngateway: {port: 9}").unwrap();
        assert_eq!(store.port(&default).unwrap(), None, "it names a port and does not listen");
    }
}
