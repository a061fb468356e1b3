"""What happens: the only code that changes state.

Each verb is one transaction; actor and moment come by keyword.
The order is importing, revising, flagging, reviewing, publishing; a stage calls later stages only.
"""
