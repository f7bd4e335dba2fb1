"""Online learning that reads the weights of a network once a step and writes them once in 16 steps, exactly.

The rule of `online` changes C and V by an outer product at every step. Since the last time they were written, at step
0, with the hidden units u_s (the last of them always 1, for the biases) and -lr times the errors, dh_s of hidden and
do_s of output units,

    C_t' u = C_0' u + sum_s dh_{s+1} (u_s . u)            V_t' u = V_0' u + sum_s do_s (u_s . u)
    V_t do = V_0 do + sum_s u_s (do_s . do)

so the weights of step t need not exist: a few short sums over the steps since then stand for them, and the products
u_s . u are the same for both matrices. After 16 steps C_0 and V_0 take in all of them by one product of matrices. The
result is that of a step at a time but for the order in which sums are rounded. W has few rows in use (one per step
where words are read) and is written at every step, as are the layers of 1991.

Memory traffic is what a step costs: 64 networks of 31-150-31 are more than a processor keeps near, so `online.train`
gives networks in blocks that fit.

References
----------
Oracle: `online.PlainLearner`, the rule written out.
"""

from typing import NamedTuple

import torch

from brainalign.simulate.elman import REST

N_DEFERRED = 16  # steps between two writings of C and V
through_logistic = torch.ops.aten.sigmoid_backward.grad_input  # error, unit -> error unit (1 - unit)


class DeferredLearner:
    """Networks side by side that learn with an error carried one step back.

    Parameters
    ----------
    weights : dict of str to tensor
        Of `Elman`, by name, without gradients, (n_networks, ...); changed in place, the last time by `finish`.
    inputs : tensor
        What will be learned from, as of `train`: positions or vectors, common or one corpus for each.
    lr : float
    loss : {"squared", "cross_entropy"}
    """

    def __init__(self, weights: dict, *, inputs: torch.Tensor, lr: float, loss: str):
        first = _source_of(inputs)
        output = _Output(weights["C"].new_tensor(-lr), loss)
        if "E" in weights:
            self.below = _Code(first(weights["E"]), weights["e"], weights["W"])
            self.above = _Readout(weights["V"], weights["c"], output)
            self.written = [weights[name] for name in "CbRr"]
        else:
            self.below = first(weights["W"])
            self.above = output
            self.written = [weights[name] for name in "CbVc"]
        recurrent, b, V, c = self.written
        n_networks, self.n_hidden, n_top = V.shape
        n_outputs = weights["c"].shape[1]
        self.sums = torch.cat([torch.cat([recurrent, V], 2), torch.cat([b, c], 1)[:, None]], 1)  # [C V; b c]
        self.V_back = V.transpose(1, 2).contiguous()  # (n_networks, n_top, n_hidden)
        self.product = V.new_empty(n_networks, 1, self.n_hidden + n_top)  # C_0' u beside V_0' u
        self.to_hidden, self.to_top = self.product.split([self.n_hidden, n_top], 2)
        self.drive = V.new_empty(n_networks, 1, self.n_hidden)
        self.differences = V.new_empty(n_networks, N_DEFERRED, n_outputs)
        # u: in slot 0 the hidden units that the first deferred step finds, in slot j those of step j, and always a 1.
        # d: in slot j do of step j and, for it belongs to the same u, dh of step j + 1.
        self.u = V.new_ones(n_networks, N_DEFERRED + 1, self.n_hidden + 1)
        self.d = V.new_zeros(n_networks, N_DEFERRED + 1, self.n_hidden + n_top)
        dh, do = self.d.split([self.n_hidden, n_top], 2)
        self.slots = [_slot(j, self.u, dh, do, self.differences) for j in range(1, N_DEFERRED + 1)]
        self.eye = torch.eye(n_outputs, dtype=V.dtype, device=V.device)
        self.graph = None

    @property
    def hidden(self) -> torch.Tensor:
        """The hidden units after the last step, (n_networks, n_hidden)."""
        return self.u[:, 0, :-1]

    def begin(self, context: torch.Tensor) -> None:
        """Set the context units, (n_networks, n_hidden)."""
        self.u[:, 0, :-1] = context
        self.drive.copy_(torch.bmm(self.u[:, :1], self.sums)[:, :, : self.n_hidden])

    def sweep(self, inputs, targets, *, rests, errors) -> None:
        """Learn from one pass over the steps; write the squared errors (n_networks, n_steps)."""
        n_steps = errors.shape[1]
        starts = list(range(0, n_steps, N_DEFERRED))
        if rests is not None:  # (n_networks, n_steps)
            starts = sorted({*starts, *rests.any(0).nonzero().flatten().tolist()})
        for start, stop in zip(starts, [*starts[1:], n_steps], strict=True):
            if rests is not None:
                self.begin(torch.where(rests[:, start, None], REST, self.hidden))
            self.learn(self.below.chunk(inputs, start, stop), self.wanted(targets, start, stop))
            torch.sum(self.differences[:, : stop - start].square(), dim=2, out=errors[:, start:stop])

    def wanted(self, targets, start, stop):
        """Give the wanted outputs of the steps, (n_taken, n_networks or 1, 1, n_outputs), positions spelled out."""
        chunk = targets[..., start:stop, :] if targets.is_floating_point() else self.eye[targets[..., start:stop]]
        return chunk.reshape(-1, stop - start, 1, len(self.eye)).transpose(0, 1)

    def learn(self, inputs, targets: torch.Tensor) -> None:
        """Take up to `N_DEFERRED` steps; on a GPU whole rounds are recorded once and replayed."""
        if not targets.is_cuda or len(inputs) < N_DEFERRED:
            self.take(inputs, targets)
        elif self.graph is None:
            self.take(inputs, targets)
            self.recorded = inputs.clone(), targets.clone()
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.take(*self.recorded)
        else:
            self.recorded[0].copy_(inputs)
            self.recorded[1].copy_(targets)
            self.graph.replay()

    def take(self, inputs, targets):
        """Take steps, then write C and V."""
        n = len(inputs) + 1
        for x, y, slot in zip(inputs, targets, self.slots, strict=False):
            self.step(x, y, slot)
        u, d = self.u[:, :n], self.d[:, :n]
        self.sums.baddbmm_(u.transpose(1, 2), d)
        self.V_back.baddbmm_(d[:, :, self.n_hidden :].transpose(1, 2), u[:, :, :-1])
        self.u[:, 0] = self.u[:, n - 1]
        self.d.zero_()

    def step(self, x, y, slot):
        """Take one step: x of `chunk`, y (n_networks or 1, 1, n_outputs); `drive` holds C' u + b of the step before."""
        self.below.forward(self.drive, x)
        torch.sigmoid(self.drive, out=slot.hidden)
        torch.bmm(slot.u, self.sums, out=self.product)
        alike = torch.bmm(slot.u, slot.past_u_columns)  # (n_networks, 1, j): u_s . u
        top = torch.baddbmm(self.to_top, alike, slot.past_do).sigmoid_()
        self.above.error(top, y, difference=slot.difference, delta=slot.do)
        alike_do = torch.bmm(slot.do, slot.past_do_columns)  # (n_networks, 1, j): do_s . do
        back = torch.bmm(slot.do, self.V_back).baddbmm_(alike_do, slot.past_hidden)
        through_logistic(back, slot.hidden, grad_input=slot.dh)
        self.below.learn(x, slot.dh)
        torch.baddbmm(self.to_hidden, alike, slot.past_dh, out=self.drive)

    def finish(self) -> None:
        """Write what the networks have learned where their weights are."""
        recurrent, b, V, c = self.written
        recurrent.copy_(self.sums[:, :-1, : self.n_hidden])
        b.copy_(self.sums[:, -1, : self.n_hidden])
        V.copy_(self.sums[:, :-1, self.n_hidden :])
        c.copy_(self.sums[:, -1, self.n_hidden :])


class _Slot(NamedTuple):
    """Parts of u, dh and do for step j of a round, (n_networks, 1, ..) and for the steps before it (.., j, ..)."""

    u: torch.Tensor
    hidden: torch.Tensor
    difference: torch.Tensor
    do: torch.Tensor
    dh: torch.Tensor
    past_u_columns: torch.Tensor
    past_hidden: torch.Tensor
    past_do: torch.Tensor
    past_do_columns: torch.Tensor
    past_dh: torch.Tensor


def _slot(j, u, dh, do, differences):
    return _Slot(
        u=u[:, j : j + 1],
        hidden=u[:, j : j + 1, :-1],
        difference=differences[:, j - 1 : j],
        do=do[:, j : j + 1],
        dh=dh[:, j - 1 : j],
        past_u_columns=u[:, :j].transpose(1, 2),
        past_hidden=u[:, :j, :-1],
        past_do=do[:, :j],
        past_do_columns=do[:, :j].transpose(1, 2),
        past_dh=dh[:, :j],
    )


def _source_of(inputs):
    if inputs.is_floating_point():
        return _Vectors
    return _CommonWords if inputs.ndim == 1 and not inputs.is_cuda else _OwnWords


class _CommonWords:
    """Inputs that are positions, the same for all networks: rows of the weights (n_networks, n_inputs, n_units)."""

    def __init__(self, weights):
        self.rows = weights.split(1, dim=1)

    def chunk(self, inputs, start, stop):
        """Give the words of the steps, a list."""
        return inputs[start:stop].tolist()

    def forward(self, drive, x):
        drive.add_(self.rows[x])

    def learn(self, x, delta):
        self.rows[x].add_(delta)


class _OwnWords:
    """Inputs that are positions, for each network its own."""

    def __init__(self, weights):
        n_networks, n_inputs, n_units = weights.shape
        self.rows = weights.view(-1, 1, n_units)
        self.first = n_inputs * torch.arange(n_networks, device=weights.device)[:, None]

    def chunk(self, inputs, start, stop):
        """Give the rows of the steps, (n_taken, n_networks)."""
        return (inputs[..., start:stop] + self.first).T.contiguous()

    def forward(self, drive, x):
        drive.add_(self.rows.index_select(0, x))

    def learn(self, x, delta):
        self.rows.index_add_(0, x, delta)


class _Vectors:
    """Inputs that are vectors."""

    def __init__(self, weights):
        self.weights = weights

    def chunk(self, inputs, start, stop):
        """Give the vectors of the steps, (n_taken, n_networks, 1, n_inputs)."""
        chunk = inputs[..., start:stop, :].expand(len(self.weights), -1, -1)
        return chunk.transpose(0, 1)[:, :, None].contiguous()

    def forward(self, drive, x):
        drive.add_(torch.bmm(x, self.weights))

    def learn(self, x, delta):
        self.weights.baddbmm_(x.transpose(1, 2), delta)


class _Code:
    """The layer of 1991 between input and hidden units."""

    def __init__(self, inputs, bias, weights):
        self.inputs, self.bias, self.weights = inputs, bias[:, None], weights
        self.chunk = inputs.chunk

    def forward(self, drive, x):
        self.code = self.bias.clone()
        self.inputs.forward(self.code, x)
        self.code.sigmoid_()
        drive.add_(torch.bmm(self.code, self.weights))

    def learn(self, x, delta):
        back = torch.bmm(delta, self.weights.transpose(1, 2))
        through_logistic(back, self.code, grad_input=back)
        self.weights.baddbmm_(self.code.transpose(1, 2), delta)
        self.inputs.learn(x, back)
        self.bias.add_(back)


class _Output:
    """The units above the hidden ones are the output units."""

    def __init__(self, step_size, loss):
        self.step_size, self.squared = step_size, loss == "squared"

    def error(self, top, y, *, difference, delta):
        """Write o - y and the error of the units above the hidden ones."""
        torch.sub(top, y, out=difference)
        if self.squared:
            through_logistic(difference, top, grad_input=delta)
            delta.mul_(self.step_size)
        else:
            torch.mul(difference, self.step_size, out=delta)


class _Readout:
    """The layer of 1991 between hidden and output units."""

    def __init__(self, weights, bias, output):
        self.weights, self.bias, self.output = weights, bias[:, None], output

    def error(self, top, y, *, difference, delta):
        output = torch.bmm(top, self.weights).add_(self.bias).sigmoid_()
        d_output = torch.empty_like(output)
        self.output.error(output, y, difference=difference, delta=d_output)
        through_logistic(torch.bmm(d_output, self.weights.transpose(1, 2)), top, grad_input=delta)
        self.weights.baddbmm_(top.transpose(1, 2), d_output)
        self.bias.add_(d_output)
