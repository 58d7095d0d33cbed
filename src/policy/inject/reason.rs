//! Every reason to leave a pod alone, in one place. The names are API: they stand on pods, in events, in metrics and in
//! `docs/injection.md`, which a test holds against this list.

/// Why a pod was left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// The pod asked for it.
    OptedOut,
    /// The container's name would be too long.
    NameTooLong,
    /// A container or volume of another origin has our name.
    NameTaken,
    /// The pod carries the note of an injection, but not the container.
    StaleAnnotation,
    /// Another pool is in the pod.
    Conflict,
    /// The pod shares its node's network.
    HostNetwork,
    /// The pod runs on Windows.
    Windows,
    /// No container has the variable.
    NoVariable,
    /// The variable may come from `envFrom`, which is not looked into.
    EnvFrom,
    /// The application is configured by PGHOST and its relatives.
    PgHost,
    /// One container lists the variable twice.
    DuplicateVariable,
    /// Two containers have different values.
    DifferentUrls,
    /// The Secret or ConfigMap may be missing.
    OptionalReference,
    /// The variable comes from a field, a file or something newer.
    UnsupportedSource,
    /// The value refers to other variables that the sidecar can't have, or where Weir has to read it.
    Reference,
    /// The URL can't be edited without a guess.
    UrlNotRewritable,
    /// The URL demands a file or a check of the application's own side.
    ClientVerification,
    /// PGSSLMODE or a relative has a say beside the URL.
    PgEnvironment,
    /// A DATABASE_POOL_ variable is no limit.
    InvalidLimit,
    /// Every port is declared by some container.
    NoFreePort,
}

/// A reason with what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Skip {
    pub(super) reason: SkipReason,
    pub(super) message: String,
}

impl SkipReason {
    /// Every reason.
    pub const ALL: [Self; 20] = [
        Self::OptedOut,
        Self::NameTooLong,
        Self::NameTaken,
        Self::StaleAnnotation,
        Self::Conflict,
        Self::HostNetwork,
        Self::Windows,
        Self::NoVariable,
        Self::EnvFrom,
        Self::PgHost,
        Self::DuplicateVariable,
        Self::DifferentUrls,
        Self::OptionalReference,
        Self::UnsupportedSource,
        Self::Reference,
        Self::UrlNotRewritable,
        Self::ClientVerification,
        Self::PgEnvironment,
        Self::InvalidLimit,
        Self::NoFreePort,
    ];

    /// As it stands on pods, in events and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OptedOut => "OptedOut",
            Self::NameTooLong => "NameTooLong",
            Self::NameTaken => "NameTaken",
            Self::StaleAnnotation => "StaleAnnotation",
            Self::Conflict => "Conflict",
            Self::HostNetwork => "HostNetwork",
            Self::Windows => "Windows",
            Self::NoVariable => "NoVariable",
            Self::EnvFrom => "EnvFrom",
            Self::PgHost => "PgHost",
            Self::DuplicateVariable => "DuplicateVariable",
            Self::DifferentUrls => "DifferentUrls",
            Self::OptionalReference => "OptionalReference",
            Self::UnsupportedSource => "UnsupportedSource",
            Self::Reference => "Reference",
            Self::UrlNotRewritable => "UrlNotRewritable",
            Self::ClientVerification => "ClientVerification",
            Self::PgEnvironment => "PgEnvironment",
            Self::InvalidLimit => "InvalidLimit",
            Self::NoFreePort => "NoFreePort",
        }
    }

    /// What its owner can do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::OptedOut => "remove the annotation from the pod template to have the pool",
            Self::NameTooLong => "give the pool a name of at most 50 characters",
            Self::NameTaken => "rename that container or volume, or the pool",
            Self::StaleAnnotation => "remove the annotation, which was copied from another pod",
            Self::Conflict => {
                "narrow one pool's selector so that each pod has one pool; remove a weir.dev/injected annotation that was copied into a pod template"
            }
            Self::HostNetwork => "set hostNetwork to false, or use sidecar.mode None",
            Self::Windows => "narrow the pool's selector to Linux pods",
            Self::NoVariable => {
                "set the variable that database.env names on a container, or narrow the pool's selector"
            }
            Self::EnvFrom => "list the variable under env, with a value or a valueFrom",
            Self::PgHost => "give the application one connection URL in the variable that database.env names",
            Self::DuplicateVariable => "list the variable once",
            Self::DifferentUrls => "give the containers the same value, or separate variables and pools",
            Self::OptionalReference => "set optional to false",
            Self::UnsupportedSource => "use a value, a secretKeyRef or a configMapKeyRef",
            Self::Reference => {
                "list what the URL refers to above it, and refer only in its user, password, host, port, database or a plain query value; or write the whole URL into one key of a Secret"
            }
            Self::UrlNotRewritable => "correct the URL, or declare the pool's client",
            Self::ClientVerification => {
                "let the system's authorities verify the server and remove the key, or use sidecar.mode None"
            }
            Self::PgEnvironment => "move what that variable says into the URL and remove it",
            Self::InvalidLimit => "correct or remove the variable",
            Self::NoFreePort => "declare fewer container ports",
        }
    }

    /// The reason with what was seen; the remedy follows.
    pub(super) fn because(self, seen: impl AsRef<str>) -> Skip {
        Skip { reason: self, message: format!("{}: {}", seen.as_ref(), self.remedy()) }
    }
}
