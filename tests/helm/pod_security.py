"""The rules that every pod of the chart keeps."""

from rendered import Object

ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def restricted_violations(spec: Object) -> list[str]:
    """What keeps this pod from the `restricted` Pod Security Standard, and from our own stricter rules."""
    pod = spec.get("securityContext", {})
    violations = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    violations += [
        f"volume {volume['name']}"
        for volume in spec.get("volumes", [])
        if not (set(volume) - {"name"}) <= ALLOWED_VOLUMES
    ]
    for each in spec.get("initContainers", []) + spec["containers"]:
        own = each.get("securityContext", {})
        effective = pod | own
        requirements = {
            "runAsNonRoot": effective.get("runAsNonRoot") is True,
            "runAsUser": effective.get("runAsUser") != 0,
            "seccompProfile": effective.get("seccompProfile", {}).get("type") in {"RuntimeDefault", "Localhost"},
            "privileged": not own.get("privileged"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities.drop": "ALL" in own.get("capabilities", {}).get("drop", []),
            "capabilities.add": set(own.get("capabilities", {}).get("add", [])) <= {"NET_BIND_SERVICE"},
            "hostPort": not any(port.get("hostPort") for port in each.get("ports", [])),
            "procMount": own.get("procMount", "Default") == "Default",
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "automountServiceAccountToken": spec.get("automountServiceAccountToken") is False,
        }
        violations += [name for name, met in requirements.items() if not met]
    return violations
