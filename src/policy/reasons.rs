//! Every condition type and reason: strings that are API, each in one line of `docs/conditions.md`.
//!
//! People and alerts match on them, so a released one is never renamed and never changes its meaning.

/// Makes an enum whose variants are their own text, with a list of all of them.
macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$inner])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As written in a condition.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),* }
            }

            /// The one of that text.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text)
            }
        }
    };
}

words! {
    /// What a condition speaks of. The order is that of the list in a status.
    ConditionType {
        /// Accepted, and new pods get the pool. Nothing about running pods, so a scale-up never breaks a wait.
        Ready,
        /// The spec is valid.
        Accepted,
        /// Every matching pod has what it should.
        Injected,
        /// Every instance answers its probe.
        Reachable,
        /// Every instance that answers can log in at PostgreSQL.
        DatabaseReachable,
        /// The fleet's busyPercent is at a threshold.
        Saturated,
        /// A new generation of the spec is being taken in (kstatus).
        Reconciling,
        /// Only a change of the spec can help (kstatus).
        Stalled,
    }
}

words! {
    /// Why a condition has its status.
    Reason {
        /// Ready: the webhook's entry is in force on the API server that answered.
        InForce,
        /// Ready, Reconciling: the entry of this generation is on its way.
        EntryPending,
        /// Ready: no webhook configuration has room for one more entry.
        ConfigurationFull,
        /// Ready: pools have no effect in this namespace.
        NamespaceExcluded,
        /// Ready: the API server refused to store the entry.
        ConfigurationRefused,
        /// Ready: the API server can't call the webhook.
        WebhookUnreachable,
        /// Ready: the API server does not call the entry although it is stored.
        WebhookNotCalled,
        /// Accepted: all rules hold.
        Valid,
        /// Ready, Accepted, Injected, Stalled: a rule is broken.
        Invalid,
        /// Injected: every matching pod has the pool, with the settings of this generation.
        AllInjected,
        /// Injected: the selector matches no pod.
        NoMatchingPods,
        /// Injected: every matching pod has the pool, some with the settings of an older generation.
        OlderSettings,
        /// Injected: the operator could not list the cluster's pods yet.
        PodsUnknown,
        /// Injected: pods without the pool; they are older than it, or were created while the webhook was away.
        PodsMissed,
        /// Injected: pods that were looked at and left alone.
        PodsSkipped,
        /// Reachable: every instance answers.
        AllAnswer,
        /// Reachable, DatabaseReachable, Saturated: there is no instance to ask, or none was asked yet.
        NoInstances,
        /// Reachable: instances that do not answer.
        InstancesUnreachable,
        /// Reachable: instances that answer what is no report of theirs.
        InvalidAnswers,
        /// DatabaseReachable: every instance's last login succeeded.
        AllConnected,
        /// DatabaseReachable, Saturated: no instance has reported it yet, or none can.
        NotReported,
        /// DatabaseReachable: no connection to the server.
        ConnectionFailed,
        /// DatabaseReachable: the server refused user, password or certificate.
        AuthenticationFailed,
        /// DatabaseReachable: the server has no such database.
        DatabaseMissing,
        /// DatabaseReachable: the server has no connection left.
        TooManyConnections,
        /// DatabaseReachable: the server refused the login for another reason.
        LoginRefused,
        /// Saturated: below the warning threshold.
        Normal,
        /// Saturated: at the warning threshold.
        Elevated,
        /// Saturated: at the critical threshold.
        Critical,
    }
}
