"""The machine's processors, against what the site file asks for."""

from fedehr_client.child.processors import machine_processors
from fedehr_client.doctor.finding import Finding, ok, warn
from fedehr_client.site import SiteConfig


def check_processors(config: SiteConfig) -> Finding:
    """Whether `[limits] num_cpus` and `[compute] num_threads` fit this machine."""
    there = len(machine_processors())
    asked = {
        "[limits] num_cpus": config.limits.num_cpus,
        "[compute] num_threads": config.compute.num_threads,
    }
    for key, number in asked.items():
        if number is not None and number > there:
            text = f"{key} is {number}, and a process here may run on {there}; no study gets more."
            mend = f"set {key} to {there} or less in site.toml"
            return warn("processors", text, mend, num_processors=there)
    used = config.limits.num_cpus or there
    return ok("processors", f"{there} here; a study may take {used}.", num_processors=there)
