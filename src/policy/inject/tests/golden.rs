//! Two pods as they come out, readable, so that a change of what a pod carries is a change that somebody looks at.
//!
//! `UPDATE_GOLDEN=1 cargo test golden` writes them anew.

use super::*;

#[test]
fn a_pod_of_a_deployment() {
    let mut pod = pod(json!([{
        "name": "app",
        "image": "shop/orders:1.4",
        "env": [{"name": "PORT", "value": "8080"}, {"name": "DATABASE_URL", "value": format!("{URL}?sslmode=require")}],
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": "250m", "memory": "128Mi"}},
    }]));
    pod["metadata"]["generateName"] = json!("orders-6d4cf56db6-");
    golden("deployment.yaml", include_str!("../golden/deployment.yaml"), &pod, &pool_for("prisma"));
}

#[test]
fn a_pod_whose_url_is_in_a_secret() {
    let mut pod = pod(json!([{"name": "app", "image": "shop/orders:1.4", "env": [secret("orders-db", "uri")]}]));
    pod["spec"]["initContainers"] =
        json!([{"name": "migrate", "image": "shop/orders:1.4", "env": [secret("orders-db", "uri")]}]);
    pod["spec"]["volumes"] = json!([{"name": "cache", "emptyDir": {"medium": "Memory"}}]);
    golden("secret.yaml", include_str!("../golden/secret.yaml"), &pod, &pool_for("libpq"));
}
