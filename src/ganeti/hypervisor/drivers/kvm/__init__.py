"""Guests run by QEMU, with KVM where the machine has it."""

from ganeti.hypervisor.drivers.kvm.driver import Kvm

__all__ = ["Kvm"]
