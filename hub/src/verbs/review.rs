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
use crate::error::{ApiError, Cause};
use crate::managed_fields::Writer;
use crate::server::{Call, Server};
use crate::verbs::write;

/// Whether the kind is a question, not an object.
pub(crate) fn is_review(call: &Call) -> bool {
    matches!(&*call.kind.group, "authorization.k8s.io" | "authentication.k8s.io")
}

/// Answers a review with itself, its status filled in.
pub(crate) fn create(server: &Server, call: &Call) -> Result<HubResponse, ApiError> {
    let mut review = write::decode(call)?;
    let namespace = review["metadata"]["namespace"].clone();
    let mut metadata = json!({});
    if !namespace.is_null() {
        metadata["namespace"] = namespace;
    }
    review["metadata"] = metadata;
    check(call, &review["spec"])?;
    let plural = call.kind.plural.as_str();
    if plural == "selfsubjectreviews" {
        review["metadata"]["creationTimestamp"] = server.world.stamp().into();
    } else if plural != "selfsubjectrulesreviews" {
        let (how, now) = (write::How::of(call)?, server.world.stamp());
        review = Writer::new(&call.kind, &how, &now).note(None, review);
    }
    let spec = &review["spec"];
    let status = match call.kind.plural.as_str() {
        "selfsubjectaccessreviews" => access(server, &call.user, spec),
        "subjectaccessreviews" | "localsubjectaccessreviews" => {
            access(server, &user_in(spec), spec)
        }
        "selfsubjectrulesreviews" => {
            rules(server, &call.user, spec["namespace"].as_str().unwrap_or_default())
        }
        "selfsubjectreviews" => json!({"userInfo": user_info(&call.user)}),
        "tokenreviews" => review_token(server, spec),
        _ => return Err(crate::server::method_not_allowed()),
    };
    review["status"] = status;
    if plural == "selfsubjectrulesreviews" {
        // The peer answers without the question.
        review["spec"] = json!({});
    }
    Ok(body::json(201, &review))
}

fn review_token(server: &Server, spec: &Value) -> Value {
    let Some(user) = server.user_of_token(spec["token"].as_str().unwrap_or_default()) else {
        return json!({"user": {}, "error": "invalid bearer token"});
    };
    let ours = Tokens::default_audiences();
    let asked = spec["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let asked: Vec<String> = asked.map(str::to_owned).collect();
    if !asked.is_empty() && !asked.iter().any(|a| ours.contains(a)) {
        let quote = |list: &[String]| {
            let quoted: Vec<String> = list.iter().map(|a| format!("{a:?}")).collect();
            quoted.join(" ")
        };
        let why = format!(
            "[invalid bearer token, token audiences [{}] is invalid for the target audiences [{}]]",
            quote(&ours),
            quote(&asked)
        );
        return json!({"user": {}, "error": why});
    }
    json!({"authenticated": true, "user": user_info(&user), "audiences": ours})
}

/// Refuses a question that asks nothing.
fn check(call: &Call, spec: &Value) -> Result<(), ApiError> {
    let refuse = |field: &str, why: String| {
        let cause = Cause::invalid(field, why);
        Err(ApiError::invalid(&call.kind.group, "", "", vec![cause]))
    };
    match call.kind.plural.as_str() {
        "tokenreviews" if spec["token"].as_str().unwrap_or_default().is_empty() => {
            let message = "token is required for TokenReview in authentication";
            Err(ApiError::bad_request(message))
        }
        "selfsubjectrulesreviews" if spec["namespace"].as_str().unwrap_or_default().is_empty() => {
            Err(ApiError::bad_request("no namespace on request"))
        }
        plural if plural.ends_with("subjectaccessreviews") => {
            let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
            if resource.is_object() == path.is_object() {
                let why =
                    "exactly one of nonResourceAttributes or resourceAttributes must be specified";
                let shown = if resource.is_object() { "cannot be set" } else { "null" };
                return refuse("spec.resourceAttributes", format!("Invalid value: {shown}: {why}"));
            }
            let is_nobody = spec["user"].as_str().unwrap_or_default().is_empty()
                && spec["groups"].as_array().is_none_or(Vec::is_empty);
            if plural != "selfsubjectaccessreviews" && is_nobody {
                let why = "Invalid value: \"\": at least one of user or group must be specified";
                return refuse("spec.user", why.to_owned());
            }
            Ok(())
        }
        _ => Ok(()),
    }
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
    let mut status = json!({"allowed": server.allows(user, &wanted)});
    if let Some(reason) = server.allow_reason(user, &wanted) {
        status["reason"] = reason.into();
    }
    status
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
    const LONGEST: i64 = 1 << 32;
    let mut request = crate::media::decode(&call.content_type, &call.body)?;
    let entry = server.store.get(&call.key(call.name()));
    let account = entry.ok_or_else(|| ApiError::not_found(&call.about()))?.value();
    let spec = &request["spec"];
    let asked = spec["expirationSeconds"].as_i64().unwrap_or(HOUR);
    let refuse = |limit: &str| {
        let why = format!("Invalid value: {asked}: may not specify a duration {limit}");
        let cause = Cause::invalid("spec.expirationSeconds", why);
        Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", "", vec![cause]))
    };
    if asked < SHORTEST {
        return refuse("less than 10 minutes");
    }
    if asked > LONGEST {
        return refuse("larger than 2^32 seconds");
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
    request["metadata"] = json!({"name": call.name(), "namespace": call.path.namespace,
        "uid": account["metadata"]["uid"], "creationTimestamp": server.world.stamp()});
    if !request["spec"].is_object() {
        request["spec"] = json!({});
    }
    request["spec"]["boundObjectRef"] = Value::Null;
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = asked.into();
    request["status"] = json!({"token": token,
        "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
    Ok(body::json(201, &request))
}
