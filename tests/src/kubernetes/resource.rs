//! The kinds of objects that the stand-in has.

/// A kind of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    /// `apps/v1` StatefulSets.
    StatefulSets,
    /// `v1` Pods.
    Pods,
    /// `v1` Services, which only exist.
    Services,
    /// `v1` PersistentVolumeClaims, one for each directory that Pods can mount.
    Claims,
}

impl Resource {
    /// Every kind.
    pub(super) const ALL: [Self; 4] =
        [Self::StatefulSets, Self::Pods, Self::Services, Self::Claims];

    /// The name in URLs and Roles.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::StatefulSets => "statefulsets",
            Self::Pods => "pods",
            Self::Services => "services",
            Self::Claims => "persistentvolumeclaims",
        }
    }

    /// The group; empty for the first one.
    pub(super) fn group(self) -> &'static str {
        match self {
            Self::StatefulSets => "apps",
            _ => "",
        }
    }

    /// Group and version, as objects name them.
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::StatefulSets => "apps/v1",
            _ => "v1",
        }
    }

    /// The name in objects.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::StatefulSets => "StatefulSet",
            Self::Pods => "Pod",
            Self::Services => "Service",
            Self::Claims => "PersistentVolumeClaim",
        }
    }

    /// The name in messages: `statefulsets.apps`.
    pub(super) fn qualified(self) -> String {
        match self.group() {
            "" => self.plural().to_owned(),
            group => format!("{}.{group}", self.plural()),
        }
    }
}
