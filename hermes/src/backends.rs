//! The built-in backends, and the choice of the backend in charge.

use hermes_core::detect::Facts;
use hermes_core::driver::Backend;
use hermes_host::Launchd;
use hermes_host::launchd;
use hermes_host::systemd::{self, Systemd};

use crate::error::Error;

/// The built-in backends, in the order of detection: the most specific first. Kubernetes is never detected, and only there
/// with the feature `kubernetes`.
pub static BUILT_IN: &[Backend] = &[
    #[cfg(target_os = "linux")]
    Backend::of::<hermes_s6::S6Driver>(hermes_s6::KIND),
    Backend::of::<Launchd>(launchd::KIND),
    Backend::of::<Systemd>(systemd::KIND),
    #[cfg(feature = "kubernetes")]
    Backend::of::<hermes_kube::Kubernetes>(hermes_kube::KIND),
];

/// The backend in charge: the one that `HERMES_BACKEND` names, else the first that detects itself, else
/// `None`. A pure function of the facts.
pub fn in_charge<'a>(backends: &'a [Backend], facts: &Facts) -> Result<Option<&'a Backend>, Error> {
    let Some(requested) = &facts.requested else {
        return Ok(backends.iter().find(|backend| (backend.detect)(facts)));
    };
    let named = backends.iter().find(|backend| backend.kind.name() == requested);
    named.map(Some).ok_or_else(|| Error::UnknownBackend {
        name: requested.clone(),
        known: backends.iter().map(|backend| backend.kind).collect(),
    })
}

#[cfg(test)]
mod tests {
    use hermes_core::Kind;

    use super::*;

    fn picked(facts: &Facts) -> Option<Kind> {
        in_charge(BUILT_IN, facts).unwrap().map(|backend| backend.kind)
    }

    #[test]
    fn the_most_specific_backend_is_picked() {
        let nothing = Facts::default();
        assert_eq!(picked(&nothing), None);
        let systemd = Facts { systemd: true, ..nothing.clone() };
        assert_eq!(picked(&systemd), Some(systemd::KIND));
        let user = Facts { user_systemd: Some("/run/user/1/private".into()), ..nothing.clone() };
        assert_eq!(picked(&user), Some(systemd::KIND));
        let up =
            Facts { user_scandir: Some("/run/user/1/hermes/service".into()), ..systemd.clone() };
        assert_eq!(picked(&up), Some(hermes_s6::KIND));
        let named = Facts { named_scandir: Some("/x".into()), ..systemd.clone() };
        assert_eq!(picked(&named), Some(hermes_s6::KIND));
        let init =
            Facts { init: Some("s6-svscan".to_owned()), s6_basedir: true, ..nothing.clone() };
        assert_eq!(picked(&init), Some(hermes_s6::KIND));
        let mac = Facts { launchd: true, ..nothing };
        assert_eq!(picked(&mac), Some(launchd::KIND));
    }

    #[test]
    fn a_requested_backend_beats_detection() {
        let named = Facts { named_scandir: Some("/x".into()), ..Facts::default() };
        let requested = Facts { requested: Some("systemd".to_owned()), ..named.clone() };
        assert_eq!(picked(&requested), Some(systemd::KIND));
        let unknown = Facts { requested: Some("runit".to_owned()), ..named };
        let error = in_charge(BUILT_IN, &unknown).unwrap_err();
        assert_eq!(error.to_string(), "invalid value `runit` for HERMES_BACKEND");
        assert!(error.hint().unwrap().contains("s6, launchd, systemd"));
    }

    #[cfg(feature = "kubernetes")]
    #[test]
    fn kubernetes_is_requested_and_beats_a_named_scan_directory() {
        let named = Facts { named_scandir: Some("/x".into()), ..Facts::default() };
        let requested = Facts { requested: Some("kubernetes".to_owned()), ..named };
        assert_eq!(picked(&requested), Some(hermes_kube::KIND));
    }

    #[cfg(not(feature = "kubernetes"))]
    #[test]
    fn a_build_without_kubernetes_says_so() {
        let requested = Facts { requested: Some("kubernetes".to_owned()), ..Facts::default() };
        let error = in_charge(BUILT_IN, &requested).unwrap_err();
        let hint = error.hint().unwrap();
        assert!(hint.contains("--features kubernetes"), "{hint}");
    }
}
