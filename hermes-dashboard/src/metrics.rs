//! `GET /metrics`: metrics of the gateways for Prometheus, in OpenMetrics 1.0 text.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use hermes_core::State as GatewayState;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

use crate::answer::{Answer, Refusal};
use crate::gateway_view::{self, GatewayView};
use crate::shared::Shared;
use crate::state_hub::StateHub;

const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProfileLabel {
    profile: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MemoryLabel {
    profile: String,
    kind: &'static str,
}

/// Answers with the metrics of all gateways.
pub(crate) async fn answer(State(shared): State<Arc<Shared>>) -> Answer {
    let _place = shared.limits.to_read().await;
    let this = shared.clone();
    let observed = shared.blocking(move |hermes| {
        let services = hermes.reachable()?;
        // Only the s6 backend has a boot duration.
        let boot = services.boot_duration().ok().flatten();
        Ok((gateway_view::all_measured(&services, &this.deaths)?, boot))
    });
    let (all, boot) = observed.await?;
    let all = all.iter().map(|(_, gateway_view)| gateway_view);
    let text = text(all, &shared.state_hub, boot.map(|took| took.as_secs_f64()));
    let text = text.map_err(|error| {
        Refusal::new(StatusCode::CONFLICT, "failed to encode the metrics").because(error)
    })?;
    Ok(([(header::CONTENT_TYPE, KIND)], text).into_response())
}

fn text<'a>(
    views: impl Iterator<Item = &'a GatewayView>,
    state_hub: &StateHub,
    boot: Option<f64>,
) -> Result<String, std::fmt::Error> {
    let [up, wanted, parked, served, hangs, deaths] =
        [(); 6].map(|()| Family::<ProfileLabel, Gauge>::default());
    let uptime = Family::<ProfileLabel, Gauge>::default();
    let restarts = Family::<ProfileLabel, Counter>::default();
    let memory = Family::<MemoryLabel, Gauge<f64, AtomicU64>>::default();
    let cpu = Family::<ProfileLabel, Counter<f64, AtomicU64>>::default();
    for view in views.filter_map(GatewayView::view) {
        let status = &view.status;
        let label = ProfileLabel { profile: status.profile.to_string() };
        up.get_or_create(&label).set(view.healthy.into());
        wanted.get_or_create(&label).set(view.wanted.into());
        parked.get_or_create(&label).set((status.state == GatewayState::Parked).into());
        served.get_or_create(&label).set((status.state == GatewayState::Served).into());
        hangs.get_or_create(&label).set(status.is_unresponsive().into());
        deaths.get_or_create(&label).set(status.deaths.into());
        restarts.get_or_create(&label).inc_by(state_hub.restarts(&status.profile));
        if let Some(seconds) = view.uptime_seconds {
            uptime.get_or_create(&label).set(seconds);
        }
        if let Some(usage) = &view.usage {
            cpu.get_or_create(&label).inc_by(usage.cpu.as_secs_f64());
            let (profile, kind) = (label.profile, usage.memory_kind.word());
            #[expect(clippy::cast_precision_loss, reason = "the unit of the metric is f64")]
            memory.get_or_create(&MemoryLabel { profile, kind }).set(usage.memory_bytes as f64);
        }
    }
    let mut registry = Registry::with_prefix("hermes");
    let mut gauge = |name: &str, help: &str, family| registry.register(name, help, family);
    gauge("gateway_up", "Whether the gateway is up, and ready if it reports readiness", up);
    gauge("gateway_wanted", "Whether the intent is running, or can't be read", wanted);
    gauge("gateway_parked", "Whether it is down because a restart would not help", parked);
    gauge("gateway_served", "Whether the gateway of `default` serves its profile", served);
    gauge("gateway_unresponsive", "Whether it is up and does not answer", hangs);
    gauge("gateway_deaths_last_hour", "Unexpected deaths in the last hour", deaths);
    let help = "Time since the start of its process";
    registry.register_with_unit("gateway_uptime", help, Unit::Seconds, uptime);
    let help = "Changes of its process since the start of the dashboard";
    registry.register("gateway_restarts", help, restarts);
    let help = "Memory of the gateway and its descendants: PSS, or RSS where the PSS can't be read";
    registry.register_with_unit("gateway_memory", help, Unit::Bytes, memory);
    let help = "Processor time of the gateway and its descendants";
    registry.register_with_unit("gateway_cpu", help, Unit::Seconds, cpu);
    if let Some(boot) = boot {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(boot);
        let help = "Duration of the first boot of the supervision tree";
        registry.register_with_unit("boot_duration", help, Unit::Seconds, gauge);
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use hermes_core::{Intent, ProfileName, Status};

    use super::*;

    #[test]
    fn alerts_match_the_missing_gateways() {
        let name = ProfileName::default_profile();
        for state in GatewayState::ALL {
            for intent in [Some(Intent::Running), Some(Intent::Stopped), None] {
                let status = Status { state, intent, ..Status::unsupervised(&name) };
                let view = GatewayView::seen(status.clone());
                let text = text([&view].into_iter(), &StateHub::new().unwrap(), None).unwrap();
                let is_set = |metric: &str| {
                    let line = format!("hermes_gateway_{metric}{{profile=\"default\"}} 1");
                    text.lines().any(|other| other == line)
                };
                let alert = is_set("wanted") && !is_set("up");
                assert_eq!(alert, status.is_missing(), "{state} {intent:?}");
                assert_eq!(is_set("parked"), state == GatewayState::Parked, "{state}");
                assert_eq!(is_set("served"), state == GatewayState::Served, "{state}");
            }
        }
    }
}
