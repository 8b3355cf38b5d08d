"""Volume indicators as step kernels."""

from __future__ import annotations

from math import nan

from trading.compiling import inlined_kernel, inner_kernel, spliced_kernel
from trading.indicators.ops import OP_AD, OP_CMF, OP_MFI, OP_OBV, OP_VWAP
from trading.indicators.windows import load_sum_nb, store_sum_nb, window_sum_nb


@spliced_kernel
def vwap_step_nb(registers, high, low, close, volume, session):
    """Return the session's average typical price, weighted by volume.

    Registers: the session, sum of price times volume, sum of volume. NaN until
    the session has volume, because there is no average of nothing.
    """
    if high != high or low != low or close != close or volume != volume:
        return registers, nan
    current, traded, volumes = registers
    if session != current:
        traded = 0.0
        volumes = 0.0
    traded += (high + low + close) / 3.0 * volume
    volumes += volume
    return (session, traded, volumes), (traded / volumes if volumes > 0.0 else nan)


@inlined_kernel
def mfi_step_nb(state, negative_state, registers, length, high, low, close, volume):
    """Return the money flow index, 0 to 100, 0 without any flow.

    Registers: 1 after the first bar, last typical price, consecutive bars
    without flow; then those of the windows of positive and of negative flow.
    """
    if high != high or low != low or close != close or volume != volume:
        return registers, nan
    seen, previous, idle, positive, negative = registers
    typical = (high + low + close) / 3.0
    if seen == 0.0:
        return (1.0, typical, idle, positive, negative), nan
    change = typical - previous
    flow = typical * volume
    # Typical prices that differ by rounding only are the same price.
    if abs(change) <= 1e-14 * (abs(typical) + abs(previous)):
        flow = 0.0
    up = 0.0 if change < 0.0 else flow
    down = flow if change < 0.0 else 0.0
    positive, gained = window_sum_nb(state, positive, length, up)
    negative, lost = window_sum_nb(negative_state, negative, length, down)
    idle = idle + 1.0 if flow == 0.0 else 0.0
    value = 0.0
    if idle < length:
        moved = gained + lost
        value = 100.0 * (min(max(gained, 0.0), moved) / moved) if moved > 0.0 else 0.0
    if gained != gained:
        value = nan
    return (1.0, typical, idle, positive, negative), value


@spliced_kernel
def obv_step_nb(registers, close, volume):
    """Return the volume of rising less that of falling bars, from the first bar's.

    Registers: 1 after the first bar, last close, the sum.
    """
    if close != close or volume != volume:
        return registers, nan
    seen, previous, total = registers
    if seen == 0.0 or close > previous:
        total += volume
    elif close < previous:
        total -= volume
    return (1.0, close, total), total


@spliced_kernel
def flow_nb(high, low, close, volume):
    """Return the volume times the close's place in the bar, -1 to 1."""
    spread = high - low
    if spread > 0.0:
        return ((close - low) - (high - close)) / spread * volume
    return 0.0


@spliced_kernel
def ad_step_nb(registers, high, low, close, volume):
    """Return the accumulation and distribution line from the first bar."""
    if high != high or low != low or close != close or volume != volume:
        return registers, nan
    total = registers + flow_nb(high, low, close, volume)
    return total, total


@inlined_kernel
def cmf_step_nb(state, volume_state, registers, length, high, low, close, volume):
    """Return the window's flow by its volume, -1 to 1, 0 without volume.

    Registers: consecutive bars without volume, then those of the windows of
    flow and volume.
    """
    if high != high or low != low or close != close or volume != volume:
        return registers, nan
    idle, flows, volumes = registers
    flows, flow = window_sum_nb(state, flows, length, flow_nb(high, low, close, volume))
    volumes, traded = window_sum_nb(volume_state, volumes, length, volume)
    idle = idle + 1.0 if volume == 0.0 else 0.0
    value = flow / traded if idle < length and traded > 0.0 else 0.0
    if flow != flow:
        value = nan
    return (idle, flows, volumes), value


@inner_kernel
def run_volume_nb(op, state, params, matrix, inputs, output, start, stop):
    """Run one volume indicator over the bars start to stop; see `dispatch`."""
    out = matrix[output]
    first = matrix[inputs[0]]
    second = matrix[inputs[1]]
    if op == OP_OBV:
        totals = state[0], state[1], state[2]
        for i in range(start, stop):
            totals, out[i] = obv_step_nb(totals, first[i], second[i])
        state[0], state[1], state[2] = totals
        return
    close = matrix[inputs[2]]
    volume = matrix[inputs[3]]
    if op == OP_VWAP:
        session = matrix[inputs[4]]
        totals = state[0], state[1], state[2]
        for i in range(start, stop):
            totals, out[i] = vwap_step_nb(
                totals, first[i], second[i], close[i], volume[i], session[i]
            )
        state[0], state[1], state[2] = totals
    elif op == OP_AD:
        total = state[0]
        for i in range(start, stop):
            total, out[i] = ad_step_nb(total, first[i], second[i], close[i], volume[i])
        state[0] = total
    elif op == OP_MFI:
        length = int(params[0])
        gains = state[3:]
        losses = gains[4 + length :]
        flows = state[0], state[1], state[2], load_sum_nb(gains), load_sum_nb(losses)
        for i in range(start, stop):
            flows, out[i] = mfi_step_nb(
                gains, losses, flows, length, first[i], second[i], close[i], volume[i]
            )
        state[0], state[1], state[2], positive, negative = flows
        store_sum_nb(gains, positive)
        store_sum_nb(losses, negative)
    elif op == OP_CMF:
        length = int(params[0])
        flow_state = state[1:]
        volume_state = flow_state[4 + length :]
        windows = state[0], load_sum_nb(flow_state), load_sum_nb(volume_state)
        for i in range(start, stop):
            windows, out[i] = cmf_step_nb(
                flow_state, volume_state, windows, length, first[i], second[i], close[i], volume[i]
            )
        state[0], flow_window, volume_window = windows
        store_sum_nb(flow_state, flow_window)
        store_sum_nb(volume_state, volume_window)
