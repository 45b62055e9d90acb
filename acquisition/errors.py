"""The one exception that means: the user can mend this."""


class InputError(Exception):
    """Something the program was given cannot be used as it is.

    The command line prints it as one line and exits with code 2; it never becomes a traceback.

    Parameters
    ----------
    what : str
        What is wrong, with the expected and the actual value.
    where : str
        The file, stream or option it was found in.
    remedy : str
        What the user can do about it.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        message = f"{where}: {what}" if where else what
        super().__init__(f"{message} ({remedy})" if remedy else message)
