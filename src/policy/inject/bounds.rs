//! What the LimitRanges of a namespace ask of each container, and the amounts nearest to a wish that they take.
//!
//! The rules are those of the API server's LimitRanger (Kubernetes 1.33 to 1.37). Before a webhook is called, and again after it
//! changed the pod, every container gets the default request and limit where it has none. In the end `min` holds for the request,
//! which has to be there, and for a limit; `max` holds for the limit, which has to be there, and for the request; and a
//! `maxLimitRequestRatio` needs both. An item of type Pod bounds sums, on which one container has no say.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::quantity::Quantity;

/// A resource that the sidecar uses and a LimitRange may bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Cpu,
    Memory,
    EphemeralStorage,
}

impl Resource {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::EphemeralStorage => "ephemeral-storage",
        }
    }

    /// At least so many thousandths, in the smallest unit that the resource has.
    fn of_milli(self, milli: u128) -> Quantity {
        match self {
            Self::Cpu => Quantity::of_millicores(milli),
            Self::Memory | Self::EphemeralStorage => Quantity::of_bytes(milli.div_ceil(1_000)),
        }
    }
}

/// All bounds for containers of one namespace. The default has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    cpu: Range,
    memory: Range,
    ephemeral_storage: Range,
}

/// The bounds of one resource: the narrowest where several LimitRanges have one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    least: Option<Quantity>,
    most: Option<Quantity>,
    ratio: Option<Quantity>,
    /// A container without a limit gets one.
    gives_limit: bool,
    /// A container without a request gets one.
    gives_request: bool,
    /// Items that name the resource. Whose defaults come first is chance.
    items: usize,
}

impl Bounds {
    /// Reads the LimitRanges of a namespace. A bound that is no quantity of Kubernetes' counts as absent.
    pub fn of<'a>(ranges: impl IntoIterator<Item = &'a LimitRange>) -> Self {
        let mut bounds = Self::default();
        let items = ranges.into_iter().flat_map(|range| range.spec.iter().flat_map(|spec| &spec.limits));
        for item in items.filter(|item| item.type_ == "Container") {
            bounds.cpu.narrow(Resource::Cpu, item);
            bounds.memory.narrow(Resource::Memory, item);
            bounds.ephemeral_storage.narrow(Resource::EphemeralStorage, item);
        }
        bounds
    }

    pub(super) const fn on(&self, resource: Resource) -> &Range {
        match resource {
            Resource::Cpu => &self.cpu,
            Resource::Memory => &self.memory,
            Resource::EphemeralStorage => &self.ephemeral_storage,
        }
    }
}

impl Range {
    fn narrow(&mut self, resource: Resource, item: &LimitRangeItem) {
        let of = |list: &Option<BTreeMap<String, ApiQuantity>>| {
            list.as_ref().and_then(|list| list.get(resource.name())).and_then(|amount| Quantity::parse(&amount.0))
        };
        let (least, most, ratio) = (of(&item.min), of(&item.max), of(&item.max_limit_request_ratio));
        let (limit, request) = (of(&item.default), of(&item.default_request));
        // The API server stores an item with the defaults that follow from its bounds.
        let gives_limit = limit.is_some() || most.is_some();
        let gives_request = gives_limit || request.is_some() || least.is_some();
        self.gives_limit |= gives_limit;
        self.gives_request |= gives_request;
        self.items += usize::from(gives_request || ratio.is_some());
        // None is below everything, which is right for the greatest and wrong for the smallest.
        self.least = self.least.take().max(least);
        self.most = self.most.take().into_iter().chain(most).min();
        self.ratio = self.ratio.take().into_iter().chain(ratio).min();
    }

    /// No container hears of it.
    pub(super) const fn is_open(&self) -> bool {
        self.items == 0
    }

    /// A container without a limit would be refused, or get one that is not ours.
    pub(super) const fn wants_limit(&self) -> bool {
        self.gives_limit || self.has_ratio()
    }

    pub(super) const fn gives_request(&self) -> bool {
        self.gives_request
    }

    pub(super) const fn has_ratio(&self) -> bool {
        self.ratio.is_some()
    }

    /// More than nothing has to be requested.
    pub(super) fn has_least(&self) -> bool {
        self.least.as_ref().is_some_and(|least| !least.is_zero())
    }

    /// A container that says nothing of the resource gets defaults that pass, whichever come first. Those of one item are within its
    /// bounds, and nobody checks them against its ratio.
    pub(super) const fn defaults_pass(&self) -> bool {
        self.items <= 1 && !self.has_ratio()
    }

    /// The request and limit nearest to these that pass. Where the ratio is too large the request is raised: the limit is what a busy
    /// sidecar lives within.
    pub(super) fn fit(
        &self,
        resource: Resource,
        request: Option<Quantity>,
        limit: Option<Quantity>,
    ) -> (Option<Quantity>, Option<Quantity>) {
        let (request, limit) = (request.map(|amount| self.clamp(amount)), limit.map(|amount| self.clamp(amount)));
        let smallest = limit.as_ref().zip(self.ratio.as_ref()).map(|(limit, ratio)| {
            let (limit, ratio) = (limit.milli(), ratio.milli().max(1));
            let share = limit.saturating_mul(1_000) / ratio;
            // The API server divides in floating point; a quotient of whole numbers is exact there, others need a little room.
            let exact = ratio.is_multiple_of(1_000) && limit.saturating_mul(1_000).is_multiple_of(ratio);
            resource.of_milli(if exact { share } else { share + 1 })
        });
        match (request, limit, smallest) {
            (Some(request), Some(limit), Some(smallest)) => {
                // The smallest that can be written may be above a limit that is finer.
                let request = request.max(smallest).min(limit.clone());
                (Some(request), Some(limit))
            }
            (request, limit, _) => (request, limit),
        }
    }

    fn clamp(&self, amount: Quantity) -> Quantity {
        let raised = self.least.clone().into_iter().fold(amount, Quantity::max);
        self.most.clone().into_iter().fold(raised, Quantity::min)
    }
}
