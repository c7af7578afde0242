"""The Prometheus rules that are shipped: they name metrics that exist, and fire when they should."""
import pathlib
import re
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
RULES = TOP / "deploy" / "prometheus" / "rules.yaml"
LABELS = '{tenant="default",root="sigstore",log="rekor.example"}'


def test_rules_name_metrics_that_exist():
    known = set(re.findall(r'PROM_FAMILY\(\w+, "(gatehouse_\w+)"', (TOP / "metrics" / "prom.def").read_text(encoding="utf-8")))
    used = set(re.findall(r"\bgatehouse_\w+", RULES.read_text(encoding="utf-8")))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in used} <= known


def fires(tmp_path, alert, series, at):
    """Whether ALERT is firing AT; SERIES: (name with labels, promtool's values by the minute)."""
    case = tmp_path / "case.yaml"
    rows = "\n".join(f"      - {{series: '{name}', values: '{values}'}}" for name, values in series)
    case.write_text(f"rule_files: [{RULES}]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n{rows}\n"
                    f"    alert_rule_test:\n      - {{eval_time: {at}, alertname: {alert}, exp_alerts: []}}\n", encoding="utf-8")
    result = subprocess.run(["promtool", "test", "rules", case], capture_output=True, text=True, check=False)
    assert "parse" not in result.stderr, result.stderr
    return result.returncode != 0 and f'alertname="{alert}"' in result.stdout + result.stderr


@pytest.mark.parametrize("alert, name, quiet, loud, at", [
    ("GatehouseLogInconsistent", "gatehouse_log_consistent" + LABELS, "1x90", "1x30 0x60", "40m"),
    ("GatehouseLogInconsistent", "gatehouse_log_alarms_total" + LABELS, "3x90", "0x30 1x60", "40m"),
    ("GatehouseLogSilent", "gatehouse_log_up" + LABELS, "1x90", "0x90", "80m"),
    ("GatehouseLogSilent", "gatehouse_log_up" + LABELS, "0x30 1x60", "0x90", "80m"),
    ("GatehouseTrustRootSilent", 'gatehouse_trust_root_up{tenant="default",root="sigstore"}', "1x90", "0x90", "80m"),
    ("GatehouseLogStalled", "gatehouse_log_last_success_timestamp_seconds" + LABELS, "0x1500", "0x1500", "1439m"),
    ("GatehouseTrustRootNotRefreshed", 'gatehouse_trust_root_refresh_timestamp_seconds{root="sigstore"}', "0+60x1500", "0x1500", "1450m"),
    ("GatehouseTrustRootEnds", 'gatehouse_trust_root_expiry_timestamp_seconds{root="sigstore"}', "604800x90", "259200x90", "80m"),
])
def test_alerts_fire_when_they_should(tmp_path, alert, name, quiet, loud, at):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    assert not fires(tmp_path, alert, [(name, quiet)], at)
    if alert == "GatehouseLogStalled":
        at = "1450m"
    assert fires(tmp_path, alert, [(name, loud)], at)
    result = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
