"""`drbdsetup show`: what the kernel has for a minor, and that no error tells what the text has in it."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti.errors import BlockDeviceError, CommandError
from ganeti.host.transcript import ReplayRunner
from ganeti.tools.drbd import commands84, show
from ganeti.tools.drbd.devices import Configuration, Device, Endpoint

SECRET = "0123456789abcdef0123456789abcdef01234567"

FULL_84 = f"""resource resource0 {{
    options {{
    }}
    net {{
        cram-hmac-alg   	"md5";
        shared-secret   	"{SECRET}";
        after-sb-0pri   	discard-zero-changes;
        after-sb-1pri   	consensus;
    }}
    _remote_host {{
        address			ipv4 10.98.0.2:11000;
    }}
    _this_host {{
        address			ipv4 10.98.0.1:11000;
        volume 0 {{
            device			minor 0;
            disk			"/dev/xenvg/d0_data";
            meta-disk			"/dev/xenvg/d0_meta";
            disk {{
                size            	131072s; # bytes
                md-flushes      	no;
                resync-rate     	61440k; # bytes/second
                c-plan-ahead    	0; # 1/10 seconds
            }}
        }}
    }}
}}
"""

BARE_84 = """resource resource0 {
    options {
    }
    _this_host {
        volume 0 {
            device			minor 0;
        }
    }
}
"""

DISK_84 = """resource resource1 {
    options {
    }
    _this_host {
        volume 0 {
            device			minor 1;
            disk			"/dev/xenvg/d1_data";
            meta-disk			"/dev/xenvg/d1_meta";
            disk {
            }
        }
    }
}
"""

NETWORK_84 = """resource resource2 {
    options {
    }
    net {
        shared-secret   	"x";
    }
    _remote_host {
        address			ipv6 [fd98::2]:11002;
    }
    _this_host {
        address			ipv6 [fd98::1]:11002;
        volume 0 {
            device			minor 2;
        }
    }
}
"""

FULL_83 = f"""disk {{
	size            	0s _is_default; # bytes
	on-io-error     	detach;
	fencing         	dont-care _is_default;
	max-bio-bvecs   	-1 _is_default;
}}
net {{
	timeout         	60 _is_default; # 1/10 seconds
	shared-secret   	"{SECRET}";
	rr-conflict     	disconnect _is_default;
}}
syncer {{
	rate            	61440k; # bytes/second
	after           	-1 _is_default;
}}
protocol C;
_this_host {{
	device			minor 0;
	disk			"/dev/xenvg/test.data";
	meta-disk		"/dev/xenvg/test.meta" [ 0 ];
	address			ipv4 192.0.2.1:11000;
}}
_remote_host {{
	address			192.0.2.2:11000;
}}
"""


def test_everything_a_connected_device_has_is_read() -> None:
    assert show.parse(FULL_84) == Configuration(
        resource="resource0",
        data=Path("/dev/xenvg/d0_data"),
        metadata=Path("/dev/xenvg/d0_meta"),
        local=Endpoint.of("10.98.0.1", 11000),
        remote=Endpoint.of("10.98.0.2", 11000),
    )


def test_a_device_without_anything_has_its_resource_alone() -> None:
    assert show.parse(BARE_84) == Configuration(resource="resource0")
    assert show.parse("resource resource0 {\n    options {\n    }\n}\n") == Configuration(resource="resource0")


def test_a_disk_alone_is_read_and_its_options_are_no_disk() -> None:
    assert show.parse(DISK_84) == Configuration(
        resource="resource1", data=Path("/dev/xenvg/d1_data"), metadata=Path("/dev/xenvg/d1_meta")
    )


def test_a_network_alone_is_read_with_ipv6_addresses() -> None:
    assert show.parse(NETWORK_84) == Configuration(
        resource="resource2", local=Endpoint.of("fd98::1", 11002), remote=Endpoint.of("fd98:0::2", 11002)
    )


def test_the_flat_layout_of_older_tools_is_read() -> None:
    assert show.parse(FULL_83) == Configuration(
        data=Path("/dev/xenvg/test.data"),
        metadata=Path("/dev/xenvg/test.meta"),
        metadata_index=0,
        local=Endpoint.of("192.0.2.1", 11000),
        remote=Endpoint.of("192.0.2.2", 11000),
    )


def test_brackets_around_ipv6_may_be_missing() -> None:
    text = NETWORK_84.replace("[fd98::1]", "fd98::1")
    assert show.parse(text).local == Endpoint.of("fd98::1", 11002)


def test_an_empty_text_says_nothing() -> None:
    assert show.parse("") == Configuration()
    assert show.parse("# nothing\n") == Configuration()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("    net {", "    net {{", 4),
        (f'"{SECRET}";', f'"{SECRET}', 6),
        ('"md5";', ";;", 5),
        ("consensus;\n    }\n", "consensus;\n    }}\n}\n", 10),
    ],
)
def test_nonsense_is_an_error_that_names_the_line_alone(old: str, new: str, line: int) -> None:
    text = FULL_84.replace(old, new, 1)
    assert text != FULL_84
    with pytest.raises(BlockDeviceError, match=rf"cannot be understood in line {line}$") as info:
        show.parse(text)
    assert SECRET not in "".join(traceback.format_exception(info.value))


@pytest.mark.parametrize(
    "broken",
    [
        FULL_84.replace("10.98.0.2:11000", SECRET),
        FULL_84.replace("10.98.0.1:11000", f"{SECRET}:11000"),
        FULL_84.replace("10.98.0.1:11000", "10.98.0.1:70000"),
        FULL_84.replace('"/dev/xenvg/d0_meta"', f'"/dev/xenvg/d0_meta" [ {SECRET}g ]'),
    ],
)
def test_a_wrong_value_is_an_error_that_does_not_tell_it(broken: str) -> None:
    with pytest.raises(BlockDeviceError, match=r"the value of .* cannot be understood") as info:
        show.parse(broken)
    shown = "".join(traceback.format_exception(info.value))
    assert SECRET not in shown


@given(st.text(alphabet='ab{};"# \n[]0:'))
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    try:
        show.parse(text)
    except BlockDeviceError as err:
        assert "cannot be understood" in str(err)  # noqa: PT017 - most texts do not raise


def test_the_command_asks_for_one_minor() -> None:
    lines = "".join(f"> {line}\n" for line in FULL_84.splitlines())
    with ReplayRunner(f"$ drbdsetup show 0\n{lines}= 0\n") as runner:
        assert commands84.configuration(runner, Device(minor=0)) == show.parse(FULL_84)


def test_a_failed_command_tells_its_error_output_and_not_what_it_printed() -> None:
    runner = ReplayRunner(f'$ drbdsetup show 0\n> shared-secret "{SECRET}";\n! 0: Failure: (127)\n= 10\n')
    with pytest.raises(CommandError, match="status 10: 0: Failure") as info:
        commands84.configuration(runner, Device(minor=0))
    assert SECRET not in "".join(traceback.format_exception(info.value))
    assert SECRET not in repr(info.value)
