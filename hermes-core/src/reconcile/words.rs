//! An action as text: a line of `boot` and of `doctor --fix`.

use std::fmt::{self, Display, Formatter};

use super::{Action, ByDefault, Suspended};

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut line = |verb: &str, what: &dyn Display, detail: &str| match detail {
            "" => write!(f, "{verb} {what}"),
            detail => write!(f, "{verb} {what}: {detail}"),
        };
        match self {
            Self::FinishRename { profile, detail } => line("finish the rename of", profile, detail),
            Self::UndoRename { profile, detail } => line("undo the rename of", profile, detail),
            Self::Clear { path } => {
                line("clear", &path.display(), "left by an interrupted command")
            }
            Self::Remove { profile, detail } => line("remove", profile, detail),
            Self::Sweep { profile } => {
                line("sweep", profile, "files of a gateway that no longer exists")
            }
            Self::ReplaceLogger { profile } => {
                line("replace the logger of", profile, "its supervisor was killed")
            }
            Self::Resume(Suspended { profile: None, title, .. }) => {
                line("resume", title, "it was suspended")
            }
            Self::Resume(Suspended { profile: Some(profile), title, .. }) => {
                line("resume", title, &format!("it works for {profile} and was suspended"))
            }
            Self::Register { profile, detail } => line("register", profile, detail),
            Self::Start { profile } => line("start", profile, ""),
            Self::Stop { profile } => line("stop", profile, "it is not wanted"),
            Self::StandDown { profile } => line("stop", profile, ByDefault::Serves.why()),
            Self::Keep { profile, detail } => line("keep", profile, detail),
            Self::Leave { profile, detail } => line("leave", profile, detail),
            Self::Skip { what, detail } => line("skip", what, detail),
            Self::Unreadable { what, detail } => line("unreadable", what, detail),
        }
    }
}
