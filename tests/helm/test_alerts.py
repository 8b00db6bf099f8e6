from pathlib import Path

import pytest
import yaml
from alert_cases import CASES, series
from promtool import promtool
from rendered import CHART, Object, Render, of_kind, values_of, with_values

ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["alerts"]


def rule_of(render: Render, **settings: object) -> Object:
    """The PrometheusRule, with the evictor's alerts."""
    values = values_of("evictor") | {
        "canary": {"enabled": True, "url": "https://logout.example.com/backchannel-logout"},
        "metrics": {"prometheusRule": {"enabled": True, **settings}},
    }
    [rule] = of_kind(render(values), "PrometheusRule")
    return rule


@pytest.fixture
def rules(render: Render, tmp_path: Path) -> Path:
    """Its groups as a file for Prometheus."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rule_of(render)["spec"]))
    return path


def summary_of(alert: Object, labels: Object) -> str:
    """Its summary for these labels."""
    text: str = alert["summary"]
    for name, value in labels.items():
        text = text.replace(f"{{{{ $labels.{name} }}}}", value)
    return text


def test_rules_are_good(rules: Path) -> None:
    """Prometheus accepts every expression."""
    checked = promtool("check", "rules", str(rules))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_each_alert_fires_in_its_case(alert: Object, rules: Path, tmp_path: Path) -> None:
    """In the case it is for, the first occurrence included; and for nothing of another namespace."""
    given, at, labels = CASES[alert["alert"]]
    firing = {
        "exp_labels": {"severity": alert["severity"], **labels},
        "exp_annotations": {"summary": summary_of(alert, labels)},
    }
    elsewhere = [one | {"series": one["series"].replace("identity", "other")} for one in given]
    # What is absent is absent in a namespace without a release, too: those two look for something that is missing.
    quiet = alert["alert"] not in {"LogoutNoWatcher", "LogoutCanary"}
    tests = [
        {
            "interval": "1m",
            "input_series": input_series,
            "alert_rule_test": [{"eval_time": at, "alertname": alert["alert"], "exp_alerts": expected}],
        }
        for input_series, expected in [(given, [firing]), *([(elsewhere, [])] if quiet else [])]
    ]
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))

    tested = promtool("test", "rules", str(file))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_no_alert_fires_on_a_quiet_day(rules: Path, tmp_path: Path) -> None:
    """A receiver and an evictor that work, a restart of both included, raise nothing."""
    quiet = [
        series("logout_redis_up", "1x1600", 'pod="a"'),
        series("logout_build_info", "1x1600", 'pod="a"'),
        series("logout_requests_total", "0+1x800 0+1x800", 'outcome="ok",tenant="main",code="ok"'),
        series("logout_requests_total", "_x9 0x1590", 'outcome="error",tenant="main",code="publish"'),
        series("logout_outbox_oldest_seconds", "0x1600"),
        series("logout_cache_watching", "1x1600", 'instance="a"'),
        series("logout_cache_notified", "1x1600", 'cache="web",instance="a"'),
        series("logout_index_scan_timestamp_seconds", "0+60x1600", 'cache="web"'),
        series("logout_keys_oldest_seconds", "0x1600", 'pod="a"'),
        series("logout_tenants_without_keys", "0x1600", 'pod="a"'),
        series("logout_app_silent", "0x1600", 'app="evictor"'),
        series("logout_canary_last_success_timestamp_seconds", "0+60x1600"),
        series("logout_group_lag", "0x1600", 'group="evictor"'),
    ]
    asked = [{"eval_time": "26h", "alertname": alert["alert"], "exp_alerts": []} for alert in ALERTS]
    file = tmp_path / "tests.yaml"
    test = {"interval": "1m", "input_series": quiet, "alert_rule_test": asked}
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))

    tested = promtool("test", "rules", str(file))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize(("errors", "fires"), [(1, False), (20, True)])
def test_burn_rates_need_more_than_a_few_errors(errors: int, fires: bool, rules: Path, tmp_path: Path) -> None:
    """Half of six logouts in an hour fail: a budget says nothing of so few, and LogoutLost tells of each."""
    failed = f"0x30 {errors}x9 {2 * errors}x9 {3 * errors}x9"
    given = [
        series("logout_requests_total", failed, 'outcome="error"'),
        series("logout_requests_total", "0x9 1x9 2x9 3x30", 'outcome="ok"'),
    ]
    expected = {"LogoutLost": True, "LogoutErrorsFast": fires, "LogoutErrorsSlow": fires}
    alerts = {alert["alert"]: alert for alert in ALERTS}
    asked = [
        {
            "eval_time": "54m",
            "alertname": name,
            "exp_alerts": [
                {
                    "exp_labels": {"severity": alerts[name]["severity"]},
                    "exp_annotations": {"summary": alerts[name]["summary"]},
                }
            ]
            * fired,
        }
        for name, fired in expected.items()
    ]
    file = tmp_path / "tests.yaml"
    test = {"interval": "1m", "input_series": given, "alert_rule_test": asked}
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))

    tested = promtool("test", "rules", str(file))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_has_a_case() -> None:
    """One case for each alert, and none for another."""
    assert [alert["alert"] for alert in ALERTS] == list(CASES)


def test_alerts_can_be_left_out_and_routed(render: Render) -> None:
    """Names in `disabled` are left out, labels and runbooks added."""
    rule = rule_of(render, disabled=["LogoutSlow"], alertLabels={"team": "identity"}, runbookBaseUrl="https://docs/")
    [group] = rule["spec"]["groups"]
    there = {one["alert"]: one for one in group["rules"]}

    assert set(CASES) - {"LogoutSlow"} == set(there)
    lost = there["LogoutLost"]
    assert {"severity": "critical", "team": "identity"} == lost["labels"]
    assert lost["annotations"]["runbook_url"] == "https://docs/logout-lost.md"


def test_evictor_alerts_go_with_the_evictor(render: Render) -> None:
    """A release without an evictor misses none."""
    [rule] = of_kind(render(with_values(metrics={"prometheusRule": {"enabled": True}})), "PrometheusRule")
    names = {one["alert"] for one in rule["spec"]["groups"][0]["rules"]}

    assert {alert["alert"] for alert in ALERTS if not (alert.get("evictor") or alert.get("canary"))} == names
