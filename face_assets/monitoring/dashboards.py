"""Grafana's dashboards, as code: `python -m face_assets.monitoring.dashboards` writes the JSON files in deploy/grafana/dashboards."""

from dataclasses import dataclass
from typing import Any, Literal

from face_assets.core.files import write_json
from face_assets.core.project_files import DEPLOY

FOLDER = DEPLOY / "grafana" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "face-assets-prometheus"}
COLUMNS, HEIGHT = 24, 8
RECOGNIZER = '{model="face_recognizer"}'
Kind = Literal["timeseries", "stat", "table"]


@dataclass(frozen=True)
class Panel:
    """A panel: legend → query. Intervals are fixed, so that each query works in Prometheus without changes.

    needs: the condition for data; "" where a platform with a live release always has some.
    """

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 8
    needs: Literal["", "traffic", "daemon", "drift", "feedback"] = ""


def _rate(counter: str, by: str = "release") -> str:
    return f"sum by ({by}) (rate(face_assets_{counter}_total[5m]))"


def _quantile(share: float, histogram: str) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate(face_assets_{histogram}_bucket[5m])))"


def _spread(histogram: str) -> dict[str, str]:
    return {"a tenth below": _quantile(0.1, histogram), "median": _quantile(0.5, histogram), "a tenth above": _quantile(0.9, histogram)}


def _mean(histogram: str) -> str:
    return " / ".join(f"sum by (release) (rate(face_assets_{histogram}_{part}[5m]))" for part in ("sum", "count"))


SERVING = (
    Panel("Live release", {"{{release}}": "face_assets_server_release_info"}, kind="stat", width=4),
    Panel("Ready", {"ready": "face_assets_server_ready"}, "bool_yes_no", "stat", 4),
    Panel("Live is production", {"the same": "face_assets_server_is_production"}, "bool_yes_no", "stat", 4),
    Panel("Alerts", {"firing": 'count(ALERTS{alertstate="firing"}) or vector(0)'}, kind="stat", width=4),
    Panel("Memory of the machine", {"used": "nv_cpu_memory_used_bytes"}, "bytes", "stat", 4),
    Panel("Processor", {"busy": "nv_cpu_utilization"}, "percentunit", "stat", 4),
    Panel("Photos a second", {"{{release}}": _rate("photos")}, "reqps", needs="traffic"),
    Panel(
        "Requests",
        {
            "all": f"sum(rate(nv_inference_request_success{RECOGNIZER}[5m])) + sum(rate(nv_inference_request_failure{RECOGNIZER}[5m]))",
            "failed": f"sum(rate(nv_inference_request_failure{RECOGNIZER}[5m])) "
            "+ (sum(rate(face_assets_photos_failed_total[5m])) or vector(0))",
        },
        "reqps",
    ),
    Panel(
        "Response time",
        {
            "{{release}}, mean": _mean("answer_seconds"),
            "median": _quantile(0.5, "answer_seconds"),
            "a hundredth above": _quantile(0.99, "answer_seconds"),
        },
        "s",
        needs="traffic",
    ),
    Panel(
        "Photos without a face, or unusable",
        {
            "without a face": f"sum({_rate('photos_without_face')}) / sum({_rate('photos')})",
            "unusable": f"sum({_rate('photos_refused')}) / (sum({_rate('photos')}) + sum({_rate('photos_refused')}))",
        },
        "percentunit",
        needs="traffic",
    ),
    Panel("Faces identified, or not", {"identified": _rate("faces_accepted"), "not identified": _rate("faces_refused")}, needs="traffic"),
    Panel("Best similarity", _spread("best_similarity"), needs="traffic"),
    Panel("Detection probability of faces", _spread("detection_probability"), needs="traffic"),
    Panel("Side of faces, pixels", _spread("face_size_pixels"), needs="traffic"),
    Panel("Faces in a photo, mean", {"{{release}}": _mean("faces_per_photo")}, needs="traffic"),
    Panel("Drift", {"{{figure}}": 'face_assets_drift_figure{figure=~"psi_.*|farthest"}'}, width=16, needs="drift"),
    Panel(
        "Errors in the field, of sampled results",
        {
            "{{error}} {{release}}": 'face_assets_feedback_error_rate{bound="estimate"}',
            "{{error}} {{release}}, {{bound}}": 'face_assets_feedback_error_rate{bound=~"low|high"}',
        },
        "percentunit",
        needs="feedback",
    ),
)

PIPELINE = (
    Panel("In production", {"{{version}}": "face_assets_production_release_info"}, kind="stat", width=4),
    Panel("Age of its photos", {"age": "time() - face_assets_production_data_timestamp_seconds"}, "s", "stat", 4),
    Panel("Age in production", {"age": "time() - face_assets_production_assigned_timestamp_seconds"}, "s", "stat", 4),
    Panel("Commits waiting", {"waiting": "face_assets_commits_waiting"}, kind="stat", width=4),
    Panel("Free on the disk", {"free": "face_assets_home_disk_free_bytes"}, "bytes", "stat", 4),
    Panel("Exporter's collectors that are down", {"down": "sum(1 - face_assets_scrape_collector_success)"}, kind="stat", width=4),
    Panel(
        "Figures of production",
        {"{{figure}}": 'face_assets_production_figure{figure=~"auc|accuracy|eer|tar_.*|identification_.*"}'},
    ),
    Panel("Photos", {"{{of}}": "face_assets_dataset_photos", "unusable, {{of}}": "face_assets_dataset_unusable_photos"}),
    Panel("People", {"{{of}} {{split}}": "face_assets_dataset_people"}),
    Panel("Runs an hour", {"{{job}} {{outcome}}": "sum by (job, outcome) (increase(face_assets_runs_total[1h]))"}),
    Panel("Open runs", {"{{state}}": "face_assets_runs_open"}),
    Panel("Checks", {"{{asset}} {{check}}": "face_assets_check_passed"}, "bool_yes_no"),
    Panel(
        "Duration of an asset, mean",
        {"{{asset}}": "face_assets_asset_seconds_sum / face_assets_asset_seconds_count"},
        "s",
        width=12,
    ),
    Panel("Since an asset's last success", {"{{asset}}": "time() - face_assets_asset_last_success_timestamp_seconds"}, "s", width=12),
    Panel(
        "Since a sensor's last tick",
        {"{{sensor}}": "time() - face_assets_sensor_last_tick_timestamp_seconds"},
        "s",
        width=12,
        needs="daemon",
    ),
    Panel(
        "Since a daemon's last heartbeat",
        {"{{daemon}}": "time() - face_assets_daemon_heartbeat_timestamp_seconds"},
        "s",
        width=12,
        needs="daemon",
    ),
)

DASHBOARDS = {"serving": ("Face Assets: serving", SERVING), "pipeline": ("Face Assets: pipeline", PIPELINE)}


def dashboard(name: str) -> dict[str, Any]:
    """Returns the JSON model of a dashboard (grafana.com/docs, "Dashboard JSON model"), schema 39 of Grafana 10 and newer."""
    title, panels = DASHBOARDS[name]
    placed: list[dict[str, Any]] = []
    across, down = 0, 0
    for number, panel in enumerate(panels, start=1):
        height = HEIGHT // 2 if panel.kind == "stat" else HEIGHT
        if across + panel.width > COLUMNS:
            across, down = 0, down + placed[-1]["gridPos"]["h"]
        placed.append({"id": number, **_model(panel), "gridPos": {"h": height, "w": panel.width, "x": across, "y": down}})
        across += panel.width
    return {
        "uid": f"face-assets-{name}",
        "title": title,
        "tags": ["face-assets"],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 1,
        "refresh": "10s",
        "time": {"from": "now-6h", "to": "now"},
        "panels": placed,
    }


def _model(panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": query, "legendFormat": legend}
        for place, (legend, query) in enumerate(panel.queries.items())
    ]
    options: dict[str, Any] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if panel.kind == "stat":
        shows_name = any("{{" in legend for legend in panel.queries)
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "name" if shows_name else "value", "graphMode": "none"}
    defaults = {"unit": panel.unit}
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


def main() -> None:
    """Writes the files."""
    for name in DASHBOARDS:
        write_json(FOLDER / f"{name}.json", dashboard(name))


if __name__ == "__main__":
    main()
