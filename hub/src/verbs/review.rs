//! Questions that are asked by a create and answered at once: reviews and token requests.
//!
//! Owns access reviews, token reviews and TokenRequest. Nothing here is stored. Start at
//! [`create`].

use std::sync::Arc;

use serde_json::{Value, json};

use crate::User;
use crate::authn::Tokens;
use crate::authz::Attributes;
use crate::body::{self, HubResponse};
use crate::error::ApiError;
use crate::server::{Call, Server};
use crate::verbs::write;

/// Whether the kind is a question, not an object.
pub(crate) fn is_review(call: &Call) -> bool {
    matches!(&*call.kind.group, "authorization.k8s.io" | "authentication.k8s.io")
}

/// Answers a review with itself, its status filled in.
pub(crate) fn create(server: &Server, call: &Call) -> Result<HubResponse, ApiError> {
    let mut review = write::decode(call)?;
    review["metadata"] = json!({"creationTimestamp": null});
    let spec = &review["spec"];
    review["status"] = match call.kind.plural.as_str() {
        "selfsubjectaccessreviews" => access(server, &call.user, spec),
        "subjectaccessreviews" | "localsubjectaccessreviews" => {
            access(server, &user_in(spec), spec)
        }
        "selfsubjectrulesreviews" => {
            rules(server, &call.user, spec["namespace"].as_str().unwrap_or_default())
        }
        "selfsubjectreviews" => json!({"userInfo": user_info(&call.user)}),
        "tokenreviews" => match server.user_of_token(spec["token"].as_str().unwrap_or_default()) {
            Some(user) => json!({"authenticated": true, "user": user_info(&user),
                    "audiences": Tokens::default_audiences()}),
            None => json!({"user": {}, "error": "invalid bearer token"}),
        },
        _ => return Err(crate::server::method_not_allowed()),
    };
    Ok(body::json(201, &review))
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    info
}

fn user_in(spec: &Value) -> User {
    let groups = spec["groups"].as_array().into_iter().flatten();
    User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        groups: groups.filter_map(Value::as_str).map(str::to_owned).collect(),
        uid: String::new(),
    }
}

fn access(server: &Server, user: &User, spec: &Value) -> Value {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let wanted = if path.is_object() {
        Attributes { verb: text(&path["verb"]), path: text(&path["path"]), ..Attributes::default() }
    } else {
        let mut name = text(&resource["resource"]);
        if let Some(sub) = resource["subresource"].as_str().filter(|s| !s.is_empty()) {
            name = format!("{name}/{sub}");
        }
        Attributes {
            verb: text(&resource["verb"]),
            namespace: text(&resource["namespace"]),
            group: text(&resource["group"]),
            resource: name,
            name: text(&resource["name"]),
            path: String::new(),
        }
    };
    json!({"allowed": server.allows(user, &wanted)})
}

fn rules(server: &Server, user: &User, namespace: &str) -> Value {
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in server.rules_of(user, namespace) {
        if rule.paths.is_empty() {
            let mut row = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups,
                "resources": rule.resources});
            if !rule.resource_names.is_empty() {
                row["resourceNames"] = json!(rule.resource_names);
            }
            resources.push(row);
        } else {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.paths}));
        }
    }
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

/// `serviceaccounts/{name}/token`
pub(crate) fn token(server: &Arc<Server>, call: &Call) -> Result<HubResponse, ApiError> {
    const HOUR: i64 = 3600;
    const SHORTEST: i64 = 600;
    let mut request = crate::media::decode(&call.content_type, &call.body)?;
    let entry = server.store.get(&call.key(call.name()));
    let account = entry.ok_or_else(|| ApiError::not_found(&call.about()))?.value();
    let spec = &request["spec"];
    let asked = spec["expirationSeconds"].as_i64().unwrap_or(HOUR);
    if asked < SHORTEST {
        let cause = crate::error::Cause::invalid(
            "spec.expirationSeconds",
            format!("Invalid value: {asked}: may not specify a duration less than 10 minutes"),
        );
        return Err(ApiError::invalid(
            "authentication.k8s.io",
            "TokenRequest",
            call.name(),
            vec![cause],
        ));
    }
    let audiences: Vec<String> = serde_json::from_value(spec["audiences"].clone())
        .ok()
        .filter(|a: &Vec<String>| !a.is_empty())
        .unwrap_or_else(Tokens::default_audiences);
    let now = server.world.now().as_second();
    let times = (now, now + asked);
    let id = server.world.uid();
    let token = server.tokens.for_request(&account, &audiences, times, &id)?;
    let expires = jiff::Timestamp::from_second(now + asked).unwrap_or_default();
    request["kind"] = "TokenRequest".into();
    request["apiVersion"] = "authentication.k8s.io/v1".into();
    request["metadata"] = json!({"name": call.name(), "namespace": call.path.namespace});
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = asked.into();
    request["status"] = json!({"token": token,
        "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
    Ok(body::json(201, &request))
}
