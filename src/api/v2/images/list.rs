//! `GET /v2/images`

use http::StatusCode;
use serde::Serialize;

use super::view::ImageView;
use crate::api::domain_errors::of_list;
use crate::api::policy::{ImageTarget, OwnProject};
use crate::api::query::{self, Filter, ListQuery};
use crate::api::{Api, Call, Error, Response, reply};
use crate::identity::Context;
use crate::image::Column;
use crate::image::listing::{self, Condition, VisibilityCondition};

#[derive(Serialize)]
struct ImagesView<'a> {
    images: Vec<ImageView<'a>>,
    first: String,
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A page of the images that the caller can see. Those that `get_image` refuses vanish silently.
pub(in crate::api) async fn handle(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    let query = call.query.unwrap_or("");
    let wanted = ListQuery::parse(query, api.page)?;
    let own_project = OwnProject(call.context.project_id.as_deref());
    call.policy.enforce(call.rule, &own_project).await?;
    let mut found = api.images.list(&request(&wanted, call.context)?).await.map_err(of_list)?;
    call.properties.hide(&mut found).await?;
    let is_full = found.len() as u64 == wanted.limit;
    let mut images = Vec::with_capacity(found.len());
    for image in found {
        // What is hidden is not there any more.
        if call.policy.allows("get_image", &ImageTarget::whole(&image)).await? {
            images.push(image);
        }
    }
    // A page that the database filled has a successor, even if the policy took rows away.
    let next = images.last().filter(|_| is_full).map(|last| query::link("/v2/images", query, Some(&last.id)));
    let view = ImagesView {
        images: images.iter().map(|image| ImageView::new(image, &api.shown, call.context)).collect(),
        first: query::link("/v2/images", query, None),
        schema: "/v2/schemas/images",
        next,
    };
    reply::json(StatusCode::OK, &view)
}

/// The client's wishes as the domain takes them.
fn request(wanted: &ListQuery, context: &Context) -> Result<listing::ListQuery, Error> {
    let viewer = listing::Viewer { is_admin: context.is_admin, project: context.project_id.clone() };
    let mut request = listing::ListQuery::new(viewer, wanted.limit);
    request.member_status = wanted.member_status.clone();
    request.visibility = match &wanted.visibility {
        query::VisibilityFilter::Default => VisibilityCondition::Default,
        query::VisibilityFilter::All => VisibilityCondition::All,
        query::VisibilityFilter::Only(word) => VisibilityCondition::Only(word.clone()),
    };
    request.tags = wanted.tags.clone();
    request.marker = wanted.marker.clone();
    request.set_sort(&wanted.sort_keys, &wanted.sort_directions);
    request.conditions.push(Condition::Is(Column::OsHidden, wanted.is_hidden));
    if let Some(is_protected) = wanted.is_protected {
        request.conditions.push(Condition::Is(Column::Protected, is_protected));
    }
    for filter in wanted.filters()? {
        match filter {
            Filter::Property { name, value } => request.properties.push((name, value)),
            Filter::Column(condition) => request.conditions.push(condition),
        }
    }
    Ok(request)
}
